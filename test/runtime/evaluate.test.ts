/** Reading values outside of compiled functions: which programs are compiled, and what is kept of them. */
import { beforeAll, describe, expect, it, vi } from 'vitest'
import * as fj from '../../lib/index.js'
import { resolveDevice } from '../../lib/runtime/device.js'
import { settledMemory } from '../helpers/memory.js'

beforeAll(() => fj.setDefaultDevice('cpu'))

/** Programs that are compiled while `body` runs. */
async function countCompiled(body: () => Promise<unknown>): Promise<number> {
  const compile = vi.spyOn(resolveDevice('cpu'), 'compile')
  try {
    await body()
    return compile.mock.calls.length
  } finally {
    compile.mockRestore()
  }
}

type Elements = Awaited<ReturnType<fj.Tensor['array']>>

describe('a number that changes', () => {
  const x = fj.tensor([1, -2, 3])
  const n = fj.tensor([1, -2, 3], { dtype: 'int32' })
  const w = fj.variable(fj.tensor([0.5, 0.25, 2]))
  const from = (i: number) => Math.fround(0.1 * i + 0.31)

  it.each<[string, (v: number) => fj.Tensor, (v: number) => Elements]>([
    ['an operand', (v) => x.mul(v), (v) => [v, -2 * v, 3 * v]],
    ['both operands', (v) => x.mul(v).mul(v), (v) => [1, -2, 3].map((x) => Math.fround(x * v) * v)],
    ['an operand of a variable', (v) => w.mul(v), (v) => [0.5 * v, 0.25 * v, 2 * v]],
    ['one of a branch', (v) => fj.where(fj.greater(x, 0), x, v), (v) => [1, v, 3]],
    ['a fill', (v) => fj.full([2], v), (v) => [v, v]],
    ['a single number', (v) => fj.full([], v), (v) => v],
    ['a part', (v) => fj.concat([x, fj.full([1], v)]), (v) => [1, -2, 3, v]],
    ['an integer', (v) => n.mul(Math.round(10 * v)), (v) => [1, -2, 3].map((x) => x * Math.round(10 * v))],
    ['a factor of a gradient', (v) => fj.grad(fj.sum(w.mul(v)), [w])[0]!, (v) => [v, v, v]],
    ['computed with others', (v) => x.mul(fj.full([3], v).mul(2)), (v) => [2 * v, -4 * v, 6 * v]],
  ])('is an argument of the program: %s', async (_name, make, expected) => {
    const compiled = await countCompiled(async () => {
      for (let i = 0; i < 5; i++) {
        const rounded = (y: Elements): Elements => (Array.isArray(y) ? y.map(rounded) : Math.fround(y))
        expect(await make(from(i)).array()).toEqual(rounded(expected(from(i))))
      }
    })
    expect(compiled).toBeLessThanOrEqual(2)
  })
  it('leaves the others folded into the program', async () => {
    const compile = vi.spyOn(resolveDevice('cpu'), 'compile')
    for (const v of [0.1, 0.2, 0.3]) await fj.tanh(x.mul(v)).add(0.5).div(7).data()
    const inputs = await Promise.all(compile.mock.results.map(async ({ value }) => (await value).inputs.length))
    compile.mockRestore()
    expect(inputs).toEqual([1, 2])
  })
  it('gives the bits that it gives as a constant, where passes would compute with it', async () => {
    const loss = (v: number) => fj.mean(fj.square(w.sub(v)).mul(v / 3))
    const read = async (v: number) => [...(await fj.grad(loss(v), [w])[0]!.data())]
    const changing: number[][] = []
    for (let i = 0; i < 8; i++) changing.push(await read(from(i)))
    for (let i = 0; i < 8; i++) {
      const step = fj.compile(() => fj.grad(loss(from(i)), [w])[0], { device: 'cpu' })
      expect([...(await ((await step()) as fj.Tensor).data())]).toEqual(changing[i])
      step.dispose()
    }
  })
  it('may be neutral, not a number, infinite or a negative zero for once', async () => {
    for (const v of [0.5, 1, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, 0.25]) {
      const multiply = (x: number) => Math.fround(x * v)
      expect(await x.mul(v).array()).toEqual([1, -2, 3].map(multiply))
      expect(await x.add(v).array()).toEqual([1, -2, 3].map((x) => Math.fround(x + v)))
    }
  })
  it('is what the dtype makes of it', async () => {
    for (const v of [1.7, 300.2, -1.5]) {
      for (const dtype of ['float32', 'int32', 'uint8', 'bool'] as const) {
        const expected = dtype === 'bool' ? 1 : fj.tensor([v], { dtype })
        const y = fj.concat([fj.full([1], v, { dtype }), fj.zeros([1], { dtype })])
        expect((await y.data())[0]).toBe(typeof expected === 'number' ? expected : (await expected.data())[0])
      }
      const half = await fj.cast(fj.cast(x, 'float16').mul(v), 'float32').array()
      const alone = fj.compile((x: fj.Tensor) => fj.cast(fj.cast(x, 'float16').mul(v), 'float32'), { device: 'cpu' })
      expect(half).toEqual(await (await alone(x)).array())
    }
  })
  it('may change in calls that run at the same time', async () => {
    const values = Array.from({ length: 20 }, (_, i) => i + 2.5)
    expect(await Promise.all(values.map((v) => fj.sum(x.mul(v)).item()))).toEqual(values.map((v) => 2 * v))
  })
})

describe('rows of host data', () => {
  const x = fj.tensor(
    Float32Array.from({ length: 4 * 3 * 2 }, (_, i) => i),
    { shape: [4, 3, 2] },
  )
  const parts: [string, fj.SliceOptions, boolean][] = [
    ['some rows', { starts: [1], ends: [3] }, true],
    ['the last row', { starts: [-1] }, true],
    ['no row', { starts: [2], ends: [2] }, true],
    ['some of one row', { starts: [2, 1], ends: [3, 3] }, true],
    ['one number', { starts: [2, 1, 1], ends: [3, 2, 2] }, true],
    ['one row backwards', { starts: [2], ends: [1], steps: [-1] }, true],
    ['rows backwards', { steps: [-1] }, false],
    ['every other row', { steps: [2] }, false],
    ['a column', { starts: [0, 1], ends: [4, 2] }, false],
    ['some of each row', { starts: [1, 1], ends: [3, 3] }, false],
  ]
  it.each(parts)('are known at once: %s', async (_name, options, known) => {
    const whole = fj.compile((x: fj.Tensor) => fj.slice(x, options), { device: 'cpu' })
    const part = fj.slice(x, options)
    const compiled = await countCompiled(async () => expect(await part.array()).toEqual(await (await whole(x)).array()))
    expect(compiled).toBe(known ? 1 : 2)
    const [dx] = fj.grad(fj.sum(fj.square(part)), [x])
    const traced = fj.compile((x: fj.Tensor) => fj.grad(fj.sum(fj.square(fj.slice(x, options))), [x])[0], {
      device: 'cpu',
    })
    expect(await dx!.array()).toEqual(await ((await traced(x)) as fj.Tensor).array())
  })
  it('are read by one program, whichever they are', async () => {
    const w = fj.variable(fj.ones([2]))
    const compiled = await countCompiled(async () => {
      for (let i = 0; i < 4; i++) {
        const batch = fj.slice(x, { starts: [i], ends: [i + 1] })
        expect(await fj.sum(batch.mul(w)).item()).toBe(36 * i + 15)
      }
    })
    expect(compiled).toBe(1)
  })
})

it('keeps a bounded number of programs, and their memory', async () => {
  const read = (size: number) => fj.sum(fj.mul(fj.ones([size]), fj.ones([size]).add(fj.tensor(1)))).item()
  for (let i = 0; i < 300; i++) await read(10_000 + i)
  const before = await settledMemory()
  for (let i = 0; i < 600; i++) await read(20_000 + i)
  expect((await settledMemory()) - before).toBeLessThan(16 * 2 ** 20)
})

it('keeps no variable that nobody else holds', async () => {
  const read = async () => {
    const w = fj.variable(fj.ones([250_000]))
    return await fj.sum(w.mul(w)).item()
  }
  const before = await settledMemory()
  for (let i = 0; i < 20; i++) expect(await read()).toBe(250_000)
  expect((await settledMemory()) - before).toBeLessThan(8 * 2 ** 20)
})
