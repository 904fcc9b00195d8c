import { describe, expect, it } from 'vitest'
import type { DType } from '../../lib/dtype.js'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, expectClose, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

type Unary = (x: fj.Tensor) => fj.Tensor
type Binary = (a: fj.TensorLike, b: fj.TensorLike) => fj.Tensor

const BINARY: Record<string, Binary> = {
  add: fj.add,
  sub: fj.sub,
  mul: fj.mul,
  div: fj.div,
  maximum: fj.maximum,
  minimum: fj.minimum,
  pow: fj.pow,
}
const COMPARE: Record<string, Binary> = {
  equal: fj.equal,
  notEqual: fj.notEqual,
  less: fj.less,
  lessEqual: fj.lessEqual,
  greater: fj.greater,
  greaterEqual: fj.greaterEqual,
  logicalAnd: fj.logicalAnd,
  logicalOr: fj.logicalOr,
}
const UNARY: Record<string, Unary> = {
  neg: fj.neg,
  abs: fj.abs,
  square: fj.square,
  exp: fj.exp,
  expm1: fj.expm1,
  sin: fj.sin,
  cos: fj.cos,
  erf: fj.erf,
}
const POSITIVE: Record<string, Unary> = {
  sqrt: fj.sqrt,
  rsqrt: fj.rsqrt,
  reciprocal: fj.reciprocal,
  log: fj.log,
  log1p: fj.log1p,
}
const FUNCTIONS = { ...UNARY, ...POSITIVE }

const positive = (shape: readonly number[], seed: number) => fj.add(fj.abs(randomTensor(shape, seed)), 0.1)
const read = async (x: fj.Tensor) => [...(await x.data())]

describe.each(DEVICES)('golden on %s', (device) => {
  for (const [name, fn] of Object.entries(BINARY)) {
    it.each(goldenCases(name))('$name', (test) => checkGolden(test, ({ x, z }) => fn(x!, z!), device))
  }
  for (const [name, fn] of Object.entries(FUNCTIONS)) {
    it.each(goldenCases(name))('$name', (test) => checkGolden(test, ({ x }) => fn(x!), device))
  }
  it.each(goldenCases('clamp'))('$name', (test) => checkGolden(test, ({ x }, attrs) => fj.clamp(x!, attrs), device))
})

/** Awkward on purpose: rank 0, empty, odd, periodic, per row, on both sides, beyond one block, eight dimensions. */
const SHAPES: [number[], number[]][] = [
  [[], []],
  [[0], [1]],
  [[0, 3], [3]],
  [[1], [7]],
  [[31, 33], [33]],
  [
    [31, 33],
    [31, 1],
  ],
  [[127, 6], [6]],
  [
    [200, 10],
    [200, 1],
  ],
  [
    [3, 1, 5],
    [4, 1],
  ],
  [
    [2, 1, 3, 1, 5],
    [7, 1, 11, 1],
  ],
  [[5, 1000], [1000]],
  [[4, 2048], [2048]],
  [
    [3, 1500],
    [3, 1],
  ],
  [
    [1, 3000],
    [2, 1],
  ],
  [
    [40, 50, 3],
    [40, 1, 3],
  ],
  [
    [40, 50, 3],
    [50, 1],
  ],
  [
    [2, 1, 2, 1, 3, 1, 2, 1],
    [1, 2, 1, 3, 1, 2, 1, 5],
  ],
  [[5000], []],
  [[1000, 7], [1]],
]

describe('broadcasting', () => {
  it.each(SHAPES)('%j with %j', async (a, b) => {
    const x = randomTensor(a, 1)
    const y = randomTensor(b, 2)
    await compareWithReference((p, q) => [fj.sub(p!, fj.mul(q!, p!)), fj.less(q!, p!)], [x, y])
    const i = randomTensor(a, 3, 'int32')
    const j = randomTensor(b, 4, 'uint8')
    await compareWithReference(
      (p, q) => [fj.add(p!, fj.cast(q!, 'int32')), fj.where(fj.cast(q!, 'bool'), 1, p!)],
      [i, j],
    )
  })

  // Rows of whole groups of elements, their scalars, and inputs that several steps read, of all widths.
  it.each([4, 8, 12, 13, 300])('chains of many inputs over rows of %i', async (columns) => {
    const shape = [5, 3, columns]
    const inputs = [
      randomTensor(shape, 1),
      randomTensor([columns], 2),
      randomTensor([3, 1], 3),
      randomTensor([5, 1, columns], 4),
      randomTensor(shape, 5, 'uint8', 2),
      randomTensor([1], 6),
    ]
    await compareWithReference(
      (x, row, column, plane, mask, number) => {
        const half = fj.cast(fj.cast(x!, 'bfloat16'), 'float32')
        const a = fj.add(fj.mul(x!, row!), column!)
        const b = fj.sub(fj.mul(a, a), fj.mul(plane!, half))
        const c = fj.where(fj.equal(mask!, 1), b, a)
        return [fj.where(fj.greater(c, 0), fj.mul(c, number!), fj.add(a, b)), fj.cast(fj.add(c, half), 'bfloat16')]
      },
      inputs,
      { gradients: false },
    )
  })

  it('refuses shapes that do not broadcast, naming them', () => {
    expect(() => fj.add(fj.zeros([2, 3]), fj.zeros([4]))).toThrow(/\(2, 3\) and \(4,\)/)
  })
})

describe('against the reference', () => {
  it.each(Object.keys(FUNCTIONS))('%s', async (name) => {
    for (const size of [0, 1, 7, 31, 33, 127, 2500]) {
      await compareWithReference((x) => FUNCTIONS[name]!(x!), [positive([size], size)], { rtol: 1e-5 })
    }
  })
  it.each(Object.keys(UNARY))('%s of negative numbers', async (name) => {
    await compareWithReference((x) => UNARY[name]!(x!), [randomTensor([333], 5)], { rtol: 1e-5 })
  })
  it.each(Object.keys({ ...BINARY, ...COMPARE }))('%s', async (name) => {
    const fn = { ...BINARY, ...COMPARE }[name]!
    const pair =
      name === 'pow' ? [positive([7, 33], 1), randomTensor([33], 2)] : [randomTensor([7, 33], 1), randomTensor([33], 2)]
    await compareWithReference((a, b) => fn(a!, b!), pair)
    await compareWithReference((a) => [fn(a!, 0.5), fn(2, a!)], [pair[0]!])
  })
  it.each(Object.keys(COMPARE))('%s of integers', async (name) => {
    for (const dtype of ['int32', 'uint8', 'bool'] as const) {
      const [a, b] = [randomTensor([99], 1, dtype, 3), randomTensor([99], 2, dtype, 3)]
      await compareWithReference((p, q) => COMPARE[name]!(p!, q!), [a, b])
    }
  })
})

describe('gradients', () => {
  it.each(Object.keys(FUNCTIONS))('%s', (name) => fj.gradcheck(FUNCTIONS[name]!, [positive([3, 4], 7)]))
  it.each(['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum'])('%s, broadcast', (name) =>
    fj.gradcheck((a, b) => BINARY[name]!(a!, b!), [positive([3, 1, 4], 8), positive([2, 1], 9)]),
  )
  it('clamp, where, cast and powers of numbers', async () => {
    const x = randomTensor([3, 5], 10)
    await fj.gradcheck((a) => fj.clamp(a!, { min: -0.5, max: 0.7 }), [x])
    await fj.gradcheck((a) => fj.clamp(a!, { min: 0 }), [x])
    await fj.gradcheck((a, b) => fj.where(fj.greater(a!, 0), fj.square(a!), b!), [x, randomTensor([5], 11)])
    for (const power of [-1, -0.5, 0.5, 1, 2, 3, 4, 1.7])
      await fj.gradcheck((a) => fj.pow(a!, power), [positive([7], 12)])
    for (const power of [-1, 2, 3, 4]) await fj.gradcheck((a) => fj.pow(a!, power), [randomTensor([7], 12)])
  })
  it('of second order', async () => {
    await fj.gradcheck((x) => fj.grad(fj.sum(fj.mul(fj.exp(x!), fj.sin(x!))), [x!])[0]!, [randomTensor([5], 13)])
  })

  const gradients = async (fn: (...x: fj.Tensor[]) => fj.Tensor, ...inputs: number[][]) => {
    const tensors = inputs.map((x) => fj.tensor(x))
    return await Promise.all(fj.grad(fj.sum(fn(...tensors)), tensors).map(read))
  }
  it('splits ties of maximum and minimum in half', async () => {
    expect(await gradients(fj.maximum, [1, 2, 3], [2, 2, 2])).toEqual([
      [0, 0.5, 1],
      [1, 0.5, 0],
    ])
    expect(await gradients(fj.minimum, [1, 2, 3], [2, 2, 2])).toEqual([
      [1, 0.5, 0],
      [0, 0.5, 1],
    ])
  })
  it('is 0 for abs at 0 and passes at the bounds of clamp', async () => {
    expect(await gradients(fj.abs, [-2, 0, 3])).toEqual([[-1, 0, 1]])
    expect(await gradients((x) => fj.clamp(x, { min: -1, max: 2 }), [-2, -1, 0, 2, 3])).toEqual([[0, 1, 1, 1, 0]])
  })
  it('takes the limits of pow at a base of 0, and the signs of negative bases', async () => {
    const [base, exponent] = await gradients(fj.pow, [2, 0, -2, 0], [0, 0, 3, 2])
    expect(base).toEqual([0, 0, 12, 0])
    expect(exponent!.slice(0, 2)).toEqual([Math.fround(Math.log(2)), 0])
    expect(exponent![2]).toBeNaN()
    expect(exponent![3]).toBe(0)
  })
})

describe('special values', () => {
  const S = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 1e-40, -1e-40, 3e38]
  const x = () => fj.tensor(new Float32Array(S))
  const f32 = Math.fround
  const table: [string, Unary, (x: number) => number][] = [
    ['exp', fj.exp, Math.exp],
    ['expm1', fj.expm1, Math.expm1],
    ['log', fj.log, Math.log],
    ['log1p', fj.log1p, Math.log1p],
    ['sin', fj.sin, Math.sin],
    ['cos', fj.cos, Math.cos],
    ['sqrt', fj.sqrt, Math.sqrt],
    ['reciprocal', fj.reciprocal, (v) => 1 / v],
    ['abs', fj.abs, Math.abs],
    ['sign', fj.sign, (v) => (v > 0 ? 1 : v < 0 ? -1 : 0)],
    ['clamp', (v) => fj.clamp(v, { min: -1, max: 1 }), (v) => Math.min(Math.max(v, -1), 1)],
  ]
  it.each(table)('%s', async (_name, fn, expected) => {
    expectClose(
      await read(fn(x())),
      S.map((v) => f32(expected(f32(v)))),
      _name,
      { rtol: 1e-6, atol: 0 },
    )
  })
  it('hands NaN on through maximum and minimum', async () => {
    const [a, b] = [fj.tensor([Number.NaN, 1, Number.NaN]), fj.tensor([1, Number.NaN, Number.NaN])]
    expect(await read(fj.maximum(a, b))).toEqual([Number.NaN, Number.NaN, Number.NaN])
    expect(await read(fj.minimum(a, b))).toEqual([Number.NaN, Number.NaN, Number.NaN])
  })
  it('finds NaN unequal to everything', async () => {
    expect(await read(fj.equal(x(), x()))).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    expect(await read(fj.notEqual(x(), x()))).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    expect(await read(fj.lessEqual(fj.tensor([Number.NaN]), fj.tensor([1])))).toEqual([0])
  })
  it('raises to powers as C does', async () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number
    const cases = [
      [nan, 0, 1], [1, nan, 1], [-1, inf, 1], [-1, -inf, 1], [2, inf, inf], [0.5, inf, 0], [2, -inf, 0], [0.5, -inf, inf],
      [0, -1, inf], [-0, -1, -inf], [-0, -2, inf], [0, 2, 0], [-2, 3, -8], [-2, 2, 4], [-2, 0.5, nan], [-inf, 0.5, inf],
      [-inf, 3, -inf], [inf, -1, 0], [nan, 1, nan], [2, nan, nan], [10, 38.6, inf], [10, -45, f32(1e-45)], [-1, 1e20, 1],
      [-1, 16777215, -1], [1e-40, 0.5, 1e-20], [3, 5, 243],
    ] // biome-ignore format: a table
    const bases = fj.tensor(cases.map((c) => c[0]!))
    const exponents = fj.tensor(cases.map((c) => c[1]!))
    const expected = cases.map((c) => f32(c[2]!))
    expectClose(await read(fj.pow(bases, exponents)), expected, 'pow', { rtol: 1e-5, atol: 1e-46 })
  })
  it('keeps infinite constants apart in the program cache', async () => {
    const inf = Number.POSITIVE_INFINITY
    expect(await read(fj.full([2], inf))).toEqual([inf, inf])
    expect(await read(fj.full([2], -inf))).toEqual([-inf, -inf])
  })
})

describe('integers', () => {
  it('computes exactly and wraps around', async () => {
    const a = fj.tensor(Int32Array.of(2147483647, -2147483648, 16777217, -7, 7, 5))
    const b = fj.tensor(Int32Array.of(1, -1, 3, 2, -2, 0))
    expect(await read(fj.add(a, b))).toEqual([-2147483648, 2147483647, 16777220, -5, 5, 5])
    expect(await read(fj.mul(a, b))).toEqual([2147483647, -2147483648, 50331651, -14, -14, 0])
    expect(await read(fj.div(a, b))).toEqual([2147483647, -2147483648, 5592405, -3, -3, 0])
    expect(await read(fj.neg(a))).toEqual([-2147483647, -2147483648, -16777217, 7, -7, -5])
    expect(await read(fj.maximum(a, 0))).toEqual([2147483647, 0, 16777217, 0, 7, 5])
    expect(await read(fj.clamp(a, { min: -7, max: 100 }))).toEqual([100, -7, 100, -7, 7, 5])
    expect(await read(fj.add(a, 16777217))).toEqual([-2130706432, -2130706431, 33554434, 16777210, 16777224, 16777222])
    expect(await read(fj.full([3], 123456789, { dtype: 'int32' }))).toEqual([123456789, 123456789, 123456789])
    await compareWithReference(
      (p, q) => [fj.pow(p!, q!), fj.square(p!), fj.abs(p!), fj.sign(p!), fj.div(p!, q!)],
      [a, b],
    )
  })
  it('compares and selects uint8', async () => {
    const a = fj.tensor(Uint8Array.of(0, 200, 255))
    expect(await read(fj.maximum(a, 100))).toEqual([100, 200, 255])
    expect(await read(fj.where(fj.greater(a, 199), a, 7))).toEqual([7, 200, 255])
    expect(fj.where(fj.greater(a, 199), a, 7).dtype).toBe('uint8')
  })
  it('refuses what a dtype cannot do, with a hint', () => {
    const i = fj.zeros([2], { dtype: 'int32' })
    const u = fj.zeros([2], { dtype: 'uint8' })
    const wrong = expect.objectContaining({ code: 'ERR_DTYPE', hint: expect.stringContaining('cast') })
    expect(() => fj.exp(i)).toThrow(wrong)
    expect(() => fj.add(u, u)).toThrow(wrong)
    expect(() => fj.add(i, fj.zeros([2]))).toThrow(wrong)
    expect(() => fj.add(i, 0.5)).toThrow(wrong)
    expect(() => fj.where(i, 1, 2)).toThrow(wrong)
    expect(() => fj.clamp(fj.zeros([1]), { min: Number.NaN })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })
})

describe('cast', () => {
  const values = [
    0,
    -0,
    0.5,
    -0.5,
    1.9,
    -1.9,
    255.9,
    256,
    -3,
    65519,
    65520,
    1e-7,
    6e-8,
    3e-8,
    2 ** -14,
    1e10,
    -1e10,
    3e38,
  ]
  const specials = [...values, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  const dtypes: DType[] = ['float32', 'float16', 'bfloat16', 'int32', 'uint8', 'bool']
  it.each(dtypes)('float32 to %s and on to every other', async (dtype) => {
    const x = fj.tensor(new Float32Array(specials))
    await compareWithReference((t) => dtypes.map((last) => fj.cast(fj.cast(t!, dtype), last)), [x], {
      gradients: false,
      rtol: 0,
      atol: 0,
    })
  })
  it('rounds to nearest even through storage as through a register', async () => {
    const x = randomTensor([3000], 5)
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const stored = fj.cast(x, dtype)
      const bits = await stored.data()
      const again = fj.cast(stored, 'float32')
      const inOneGo = await fj.cast(fj.cast(x, dtype), 'float32').data()
      expect(bits).toBeInstanceOf(Uint16Array)
      expect(await again.data()).toEqual(inOneGo)
      await compareWithReference((t) => fj.cast(fj.mul(fj.cast(t!, dtype), 3), 'float32'), [x], { rtol: 1e-2 })
    }
  })
  it('stores every NaN alike in 16 bits, and its neighbours as without it', async () => {
    const values = Array.from({ length: 21 }, (_, i) => i / 3)
    for (const [dtype, nan] of [
      ['float16', 0x7e00],
      ['bfloat16', 0x7fc0],
    ] as const) {
      const bits = Array.from((await fj.cast(fj.tensor(values), dtype).data()) as ArrayLike<number>)
      for (const at of [0, 1, 7, 16, 20]) {
        const stored = fj.cast(fj.tensor(values.with(at, at % 2 ? NaN : -NaN)), dtype)
        expect(Array.from((await stored.data()) as ArrayLike<number>)).toEqual(bits.with(at, nan))
      }
    }
  })

  it('wraps int32 to uint8 and saturates floats', async () => {
    expect(await read(fj.cast(fj.tensor(Int32Array.of(256, -1, 300)), 'uint8'))).toEqual([0, 255, 44])
    expect(await read(fj.cast(fj.tensor([300, -1, 1e10]), 'uint8'))).toEqual([255, 0, 255])
    expect(await read(fj.cast(fj.tensor([1e10, -1e10, Number.NaN]), 'int32'))).toEqual([2147483647, -2147483648, 0])
  })
})

describe('fused chains', () => {
  it('longer than the limits of a micro-program', async () => {
    const chain = (x: fj.Tensor) => {
      let y = x
      for (let i = 0; i < 70; i++) y = fj.sin(fj.add(fj.mul(y, 1 + i / 100), i / 10))
      return y
    }
    await compareWithReference((x) => chain(x!), [randomTensor([77], 1)], { rtol: 1e-3, gradients: false })
  })
  it('of more inputs than one may have', async () => {
    const inputs = Array.from({ length: 20 }, (_, i) => randomTensor(i % 3 ? [6, 9] : [9], i))
    await compareWithReference((...x) => x.reduce((a, b) => fj.add(fj.mul(a, 0.9), b)), inputs)
  })
  it('in place, with shared operands and mixed dtypes', async () => {
    const fn = (x: fj.Tensor, i: fj.Tensor, u: fj.Tensor) => {
      const a = fj.add(fj.neg(x), fj.cast(i, 'float32'))
      const b = fj.mul(a, fj.cast(u, 'float32'))
      const c = fj.where(fj.logicalAnd(fj.less(b, x), fj.cast(u, 'bool')), fj.add(a, b), fj.sub(b, x))
      return [c, fj.cast(c, 'int32'), fj.sum(c)]
    }
    for (const size of [1, 33, 1025, 5000]) {
      const inputs = [randomTensor([size], 1), randomTensor([size], 2, 'int32'), randomTensor([size], 3, 'uint8', 3)]
      await compareWithReference((x, i, u) => fn(x!, i!, u!), inputs, { gradients: false })
    }
  })
})

it('logicalNot is true where the operand is 0', async () => {
  const x = fj.tensor([0, 1, -2, Number.NaN, 0.5])
  expect(await read(fj.logicalNot(x))).toEqual([1, 0, 0, 0, 0])
  await compareWithReference((t) => fj.logicalNot(t!), [randomTensor([7, 31], 1, 'int32', 3)])
})
