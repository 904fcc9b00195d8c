import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES, TEST_DEVICE } from '../helpers/device.js'

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('transpose'))('$name', (test) =>
    checkGolden(test, ({ x }, { axes }) => fj.transpose(x!, axes), device),
  )
  it.each(goldenCases('slice'))('$name', (test) => checkGolden(test, ({ x }, attrs) => fj.slice(x!, attrs), device))
  it.each(goldenCases('pad'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs: unknown) => fj.pad(x!, attrs as fj.PadOptions), device),
  )
  it.each(goldenCases('concat'))('$name', (test) =>
    checkGolden(test, (inputs, attrs) => fj.concat(Object.values(inputs), attrs), device),
  )
  it.each(goldenCases('stack'))('$name', (test) =>
    checkGolden(test, (inputs, attrs) => fj.stack(Object.values(inputs), attrs), device),
  )
})

const DTYPES = ['float32', 'int32', 'uint8', 'bool'] as const

/** As transpose itself, without the layout pass moving it: its result is an output. */
describe('transpose', () => {
  const CASES: [number[], number[]][] = [
    [[], []],
    [[7], [0]],
    [
      [31, 33],
      [1, 0],
    ],
    [
      [127, 1],
      [1, 0],
    ],
    [
      [100, 3],
      [1, 0],
    ],
    [
      [3, 100],
      [1, 0],
    ],
    [
      [65, 130],
      [1, 0],
    ],
    [
      [2, 3, 7, 31],
      [0, 2, 3, 1],
    ],
    [
      [2, 7, 31, 3],
      [0, 3, 1, 2],
    ],
    [
      [2, 1, 7, 5],
      [0, 2, 3, 1],
    ],
    [
      [3, 6, 14, 14],
      [0, 2, 3, 1],
    ],
    [
      [2, 17, 9, 9],
      [0, 2, 3, 1],
    ],
    [
      [2, 9, 9, 17],
      [0, 3, 1, 2],
    ],
    [
      [2, 70, 3, 50],
      [0, 2, 3, 1],
    ],
    [
      [4, 5, 6],
      [1, 0, 2],
    ],
    [
      [4, 5, 6],
      [2, 1, 0],
    ],
    [
      [2, 3, 4, 5, 2],
      [4, 2, 0, 3, 1],
    ],
    [
      [2, 1, 3, 1, 2, 2, 3, 2],
      [7, 5, 3, 1, 0, 2, 4, 6],
    ],
    [
      [0, 3, 2],
      [2, 0, 1],
    ],
    // Axes and steps of whole packs of 16 bytes: large tiles, small ones, tiles cut off, other axes around.
    [
      [80, 144],
      [1, 0],
    ],
    [
      [16, 224],
      [1, 0],
    ],
    [
      [3, 48, 5, 16],
      [0, 2, 3, 1],
    ],
    [
      [2, 64, 3, 96],
      [3, 0, 2, 1],
    ],
    [
      [44, 2, 52],
      [2, 1, 0],
    ],
  ]
  it.each(CASES)('%j by %j', async (shape, axes) => {
    for (const dtype of DTYPES) {
      const x = randomTensor(shape, 1, dtype, dtype === 'bool' ? 2 : 250)
      await compareWithReference((t) => fj.transpose(t!, axes), [x], { rtol: 0, atol: 0 })
    }
  })
})

it.each([[[80, 144]], [[48, 40]], [[52, 67]]])('transposes bfloat16, %j', (shape) =>
  compareWithReference(
    (t) => fj.cast(fj.transpose(fj.cast(t!, 'bfloat16'), [1, 0]), 'float32'),
    [randomTensor(shape, 1)],
  ),
)

/** Parts that begin, end and step by whole packs of 16 bytes or of fewer, and by none. */
describe('parts of rows', () => {
  it.each([16, 8, 4, 2, 1])('in steps of %i elements', async (unit) => {
    for (const dtype of DTYPES) {
      const x = randomTensor([5, 3, 6 * unit], 1, dtype, dtype === 'bool' ? 2 : 250)
      const y = randomTensor([5, 3, 2 * unit], 2, dtype, dtype === 'bool' ? 2 : 250)
      const exact = { rtol: 0, atol: 0 }
      await compareWithReference(
        (x) => fj.slice(x!, { starts: [1, 0, unit], ends: [4, 3, 4 * unit], steps: [2, 1, 1] }),
        [x],
        exact,
      )
      await compareWithReference(
        (x) => fj.slice(x!, { starts: [-1, 1, 2 * unit], ends: [-5, 3, 6 * unit], steps: [-2, 1, 1] }),
        [x],
        exact,
      )
      await compareWithReference((x, y) => fj.concat([x!, y!, x!], { axis: -1 }), [x, y], exact)
      const pads = [
        [1, 0],
        [0, 2],
        [unit, 3 * unit],
      ] as [number, number][]
      await compareWithReference((x) => fj.pad(x!, { pads, value: dtype === 'bool' ? 1 : 7 }), [x], exact)
    }
  })
})

/** Numbers of their own for all elements of a kind, or as good as. */
function numbered(count: number, dtype: 'float32' | 'uint8'): Uint8Array | Float32Array {
  const array = dtype === 'uint8' ? new Uint8Array(count) : new Float32Array(count)
  for (let i = 0; i < count; i++) array[i] = dtype === 'uint8' ? Math.imul(i, 0x9e3779b1) >>> 24 : i % 16777213
  return array
}

// Past 48 MB read and written: rows that begin where lines do or anywhere, tiles cut off, rows of y that are one run.
it.runIf(TEST_DEVICE === 'cpu').each<[number[], number[], 'float32' | 'uint8']>([
  [[2560, 2512], [1, 0], 'float32'],
  [[2503, 2617], [1, 0], 'float32'],
  [[31, 150, 1399], [0, 2, 1], 'float32'],
  [[63, 49, 65, 33], [0, 3, 1, 2], 'float32'],
  [[89, 241, 301], [2, 1, 0], 'float32'],
  [[65, 100, 1001], [1, 2, 0], 'float32'],
  [[5003, 5101], [1, 0], 'uint8'],
  [[97, 257, 1024], [0, 2, 1], 'uint8'],
])('transpose larger than caches: %j by %j, %s', async (shape, axes, dtype) => {
  const from = numbered(
    shape.reduce((a, b) => a * b),
    dtype,
  )
  const steps = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1))
  const [sizes, strides] = [axes.map((axis) => shape[axis]!), axes.map((axis) => steps[axis]!)]
  const to = await fj.transpose(fj.tensor(from, { shape, dtype }), axes).data()
  const [columns, stride] = [sizes.at(-1)!, strides.at(-1)!]
  let wrong = 0
  for (let row = 0; row < to.length / columns; row++) {
    let [rest, at] = [row, 0]
    for (let axis = axes.length - 2; axis >= 0; axis--) {
      at += (rest % sizes[axis]!) * strides[axis]!
      rest = Math.floor(rest / sizes[axis]!)
    }
    for (let j = 0; j < columns; j++) if (to[row * columns + j] !== from[at + j * stride]) wrong++
  }
  expect(wrong).toBe(0)
})

it('has correct gradients', async () => {
  const x = randomTensor([3, 4, 5], 1)
  await fj.gradcheck((t) => fj.transpose(t!, [2, 0, 1]), [x])
  await fj.gradcheck((t) => fj.slice(t!, { starts: [-1, 1, 0], ends: [-4, 4, 5], steps: [-2, 1, 2] }), [x])
  await fj.gradcheck((t) => fj.flip(t!, { axes: [0, 2] }), [x])
  await fj.gradcheck((t) => fj.tile(t!, [2, 1, 3]), [x])
  await fj.gradcheck((t) => fj.split(t!, [1, 3], { axis: 1 })[1]!, [x])
  for (const mode of ['constant', 'reflect', 'replicate', 'circular'] as const) {
    await fj.gradcheck(
      (t) =>
        fj.pad(t!, {
          pads: [
            [1, 2],
            [0, 0],
            [3, 1],
          ],
          mode,
          value: 2,
        }),
      [x],
    )
  }
  await fj.gradcheck((a, b) => fj.concat([a!, b!, a!], { axis: -1 }), [x, randomTensor([3, 4, 2], 2)])
  await fj.gradcheck((a, b) => fj.stack([a!, b!], { axis: -1 }), [x, randomTensor([3, 4, 5], 2)])
})

describe('views', () => {
  it('flatten, squeeze and unsqueeze', async () => {
    const x = randomTensor([2, 3, 1, 5], 1)
    expect(fj.flatten(x).shape).toEqual([30])
    expect(fj.flatten(x, { startAxis: 1 }).shape).toEqual([2, 15])
    expect(fj.flatten(x, { startAxis: 1, endAxis: 2 }).shape).toEqual([2, 3, 5])
    expect(fj.flatten(fj.zeros([])).shape).toEqual([1])
    expect(fj.flatten(fj.zeros([0, 3]), { startAxis: 1 }).shape).toEqual([0, 3])
    expect(fj.squeeze(x).shape).toEqual([2, 3, 5])
    expect(fj.squeeze(x, { axes: 2 }).shape).toEqual([2, 3, 5])
    expect(fj.unsqueeze(x, { axis: -1 }).shape).toEqual([2, 3, 1, 5, 1])
    expect(fj.unsqueeze(x).shape).toEqual([1, 2, 3, 1, 5])
    await compareWithReference((t) => fj.flatten(t!, { startAxis: 1 }), [x])
    expect(() => fj.squeeze(x, { axes: 0 })).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    expect(() => fj.flatten(x, { startAxis: 4 })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

describe('slice', () => {
  const CASES: [number[], fj.SliceOptions][] = [
    [[7], { starts: [2] }],
    [[7], { starts: [-3], ends: [Number.POSITIVE_INFINITY] }],
    [[7], { steps: [-1] }],
    [[7], { starts: [100] }],
    [[31, 33], { starts: [3, 1], ends: [30, -1], steps: [4, 2] }],
    [[31, 33], { starts: [0, 5], ends: [31, 28] }],
    [[5, 6, 7], { starts: [4, 0, 6], ends: [0, 6, 0], steps: [-2, 1, -3] }],
    [[3, 4, 5, 6], { steps: [-1, -1, -1, -1] }],
    [[2, 2, 2, 2, 2, 2, 2, 2], { starts: [1, 0, 1, 0, 0, 1, 0, 1] }],
    [[0, 5], { starts: [0, 2] }],
    [[4, 5], {}],
  ]
  it.each(CASES)('%j, %j', async (shape, options) => {
    for (const dtype of DTYPES) {
      await compareWithReference((t) => fj.slice(t!, options), [randomTensor(shape, 1, dtype, 2)], { rtol: 0, atol: 0 })
    }
  })

  it('counts as Python does', async () => {
    const x = fj.arange(10)
    expect([...(await fj.slice(x, { starts: [8], ends: [-8], steps: [-3] }).data())]).toEqual([8, 5])
    expect([...(await fj.slice(x, { ends: [-7] }).data())]).toEqual([0, 1, 2])
  })

  it('names bad arguments', () => {
    const fails = (code: string, body: () => unknown) => expect(body).toThrow(expect.objectContaining({ code }))
    fails('ERR_ARGUMENT', () => fj.slice(fj.zeros([3]), { steps: [0] }))
    fails('ERR_ARGUMENT', () => fj.slice(fj.zeros([3]), { starts: [0, 0] }))
    fails('ERR_ARGUMENT', () => fj.flip(fj.zeros([3]), { axes: 1 }))
    fails('ERR_SHAPE', () => fj.split(fj.zeros([5]), 2))
    fails('ERR_SHAPE', () => fj.split(fj.zeros([5]), [2, 2]))
    fails('ERR_ARGUMENT', () => fj.tile(fj.zeros([5]), [-1]))
  })
})

describe('pad', () => {
  it.each(DTYPES)('%s, every mode', async (dtype) => {
    for (const mode of ['constant', 'reflect', 'replicate', 'circular'] as const) {
      for (const pads of [
        [
          [0, 0],
          [3, 2],
          [2, 1],
        ],
        [
          [1, 1],
          [0, 3],
          [6, 6],
        ],
        [[2, 0]],
      ] as [number, number][][]) {
        const x = randomTensor([2, 4, 7], 1, dtype, 2)
        const fits = mode !== 'reflect' || pads.length < 3 || pads.every((p, axis) => Math.max(...p) < x.shape[axis]!)
        if (fits) await compareWithReference((t) => fj.pad(t!, { pads, mode, value: 1 }), [x])
      }
    }
  })

  it('pads nothing to something, and names what does not fit', async () => {
    expect([...(await fj.pad(fj.zeros([0]), { pads: [[1, 2]], value: 3 }).data())]).toEqual([3, 3, 3])
    const fails = (code: string, body: () => unknown) => expect(body).toThrow(expect.objectContaining({ code }))
    fails('ERR_SHAPE', () => fj.pad(fj.zeros([3]), { pads: [[3, 0]], mode: 'reflect' }))
    fails('ERR_ARGUMENT', () => fj.pad(fj.zeros([3]), { pads: [[-1, 0]] }))
    expect(() => fj.pad(fj.zeros([3]), { pads: [[-1, 0]] })).toThrow('for shape (3,), got [[-1, 0]]')
    fails('ERR_ARGUMENT', () => fj.pad(fj.zeros([3]), { pads: [[1, 0]], mode: 'mirror' as 'reflect' }))
  })
})

describe('concat, stack, split, tile', () => {
  it.each(DTYPES)('%s along every axis', async (dtype) => {
    for (const axis of [0, 1, 2]) {
      const parts = [3, 1, 0, 31].map((n, i) => randomTensor([2, 3, 5].with(axis, n), i, dtype, 2))
      await compareWithReference((...list) => fj.concat(list, { axis }), parts, { rtol: 0, atol: 0 })
      const same = [1, 2, 3].map((seed) => randomTensor([2, 3, 5], seed, dtype, 2))
      await compareWithReference((...list) => fj.stack(list, { axis }), same, { rtol: 0, atol: 0 })
      const whole = randomTensor([6, 6, 6], 1, dtype, 2)
      await compareWithReference((t) => fj.split(t!, 3, { axis }), [whole], { rtol: 0, atol: 0 })
      await compareWithReference((t) => fj.split(t!, [1, 0, 5], { axis }), [whole], { rtol: 0, atol: 0 })
    }
    await compareWithReference((t) => fj.tile(t!, [2, 1, 3]), [randomTensor([2, 3], 1, dtype, 2)])
    expect(fj.tile(fj.zeros([2, 3]), [2, 1, 3]).shape).toEqual([2, 2, 9])
  })

  it('names what does not fit', () => {
    const fails = (code: string, body: () => unknown) => expect(body).toThrow(expect.objectContaining({ code }))
    fails('ERR_SHAPE', () => fj.concat([fj.zeros([2, 3]), fj.zeros([3, 3])], { axis: 1 }))
    fails('ERR_DTYPE', () => fj.concat([fj.zeros([2]), fj.zeros([2], { dtype: 'int32' })]))
    fails('ERR_ARGUMENT', () => fj.concat([]))
    fails('ERR_ARGUMENT', () => fj.concat([fj.zeros([2])], { axis: 1 }))
    fails('ERR_SHAPE', () => fj.stack([fj.zeros([2]), fj.zeros([3])]))
  })
})
