/** How programs run on the device under test: eager first, then as CUDA graphs that must see what changed. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { TEST_DEVICE } from '../helpers/device.js'
import { settledMemory } from '../helpers/memory.js'

const device = TEST_DEVICE
const read = async (t: fj.Tensor) => [...(await t.data())]

describe('runs of one program', () => {
  it('see new arguments each time', async () => {
    const f = fj.compile((x: fj.Tensor, y: fj.Tensor) => fj.add(fj.mul(x, 3), y), { device })
    for (let run = 0; run < 5; run++) {
      const result = await f(fj.tensor([run, 1, -run]), fj.tensor([0.5]))
      expect(await read(result)).toEqual([3 * run + 0.5, 3.5, -3 * run + 0.5])
    }
  })

  it('see arguments that stay and that change', async () => {
    const f = fj.compile((x: fj.Tensor, y: fj.Tensor) => fj.add(fj.mul(x, 10), y), { device })
    const seen: number[] = []
    for (const [x, y] of [
      [1, 2],
      [1, 2],
      [1, 3],
      [1, 3],
      [2, 3],
      [1, 2],
      [1, 2],
    ] as const)
      seen.push(await (await f(fj.tensor(x), fj.tensor(y))).item())
    expect(seen).toEqual([12, 12, 13, 13, 23, 12, 12])
  })

  it('change variables, which the next run sees', async () => {
    const w = fj.variable(fj.tensor([1, 2, 4]))
    const step = fj.compile(
      (x: fj.Tensor) => {
        w.assign(fj.add(w, x))
        return fj.mul(w, 2)
      },
      { device },
    )
    for (let run = 0; run < 5; run++)
      expect(await read(await step(fj.tensor([1])))).toEqual([2 + 2 * run, 4 + 2 * run, 8 + 2 * run])
    expect(await read(w)).toEqual([6, 7, 9])
  })

  it('may be in flight together, and are answered in order', async () => {
    const count = fj.variable(fj.zeros([]))
    const step = fj.compile(
      () => {
        count.assign(fj.add(count, 1))
        return fj.mul(count, 1)
      },
      { device },
    )
    const results = await Promise.all(Array.from({ length: 6 }, () => step()))
    expect(await Promise.all(results.map((t) => t.item()))).toEqual([0, 1, 2, 3, 4, 5])
    expect(await count.item()).toBe(6)
  })

  it('keep instructions apart that use the same scratch', async () => {
    // Long sums are made of parts that a second kernel joins.
    const sums = fj.compile((...xs: fj.Tensor[]) => fj.stack(xs.map((x) => fj.sum(x))), { device })
    const inputs = [1, 2, 3, 4, 5, 6].map((value) => fj.full([20_000], value))
    for (let run = 0; run < 5; run++)
      expect(await read(await sums(...inputs))).toEqual([20_000, 40_000, 60_000, 80_000, 100_000, 120_000])
  })

  it.each([
    [400_001, 'a stream of their own'],
    [9_000_001, 'the memory of the caller: 72 MB are more than is pinned'],
  ])('copy arguments of %i elements through %s', async (size) => {
    const f = fj.compile((x: fj.Tensor) => fj.neg(x), { device })
    const inputs = [1, 2, 3, 4, 5].map((value) => fj.full([size], value))
    await fj.evaluate(inputs)
    const results = await Promise.all(inputs.map((x) => f(x)))
    for (const [run, result] of results.entries()) {
      const y = await result.data()
      expect([y[0], y[size - 1], y.length]).toEqual([-1 - run, -1 - run, size])
    }
  })

  it('of several programs are answered in the order of their calls', async () => {
    const sum = fj.variable(fj.zeros([]))
    const adding = fj.compile((x: fj.Tensor) => void sum.assign(fj.add(sum, x)), { device })
    const doubling = fj.compile(() => void sum.assign(fj.mul(sum, 2)), { device })
    const order: string[] = []
    const calls: Promise<unknown>[] = []
    for (let i = 1; i <= 6; i++) {
      calls.push(adding(fj.tensor(i)).then(() => order.push(`+${i}`)))
      calls.push(doubling().then(() => order.push('*')))
    }
    await Promise.all(calls)
    expect(order.join(' ')).toBe('+1 * +2 * +3 * +4 * +5 * +6 *')
    let expected = 0
    for (let i = 1; i <= 6; i++) expected = (expected + i) * 2
    expect(await sum.item()).toBe(expected)
  })

  it('without instructions hand their argument on', async () => {
    const f = fj.compile((x: fj.Tensor) => x, { device })
    for (let run = 0; run < 3; run++) expect(await read(await f(fj.tensor([run, 2])))).toEqual([run, 2])
  })

  it('of empty tensors give empty tensors', async () => {
    const f = fj.compile((x: fj.Tensor) => fj.add(x, 1), { device })
    for (let run = 0; run < 3; run++) expect((await f(fj.zeros([0, 3]))).shape).toEqual([0, 3])
  })
})

describe('a signal', () => {
  it('that is aborted stops a run before anything changes', async () => {
    const w = fj.variable(fj.zeros([]))
    const step = fj.compile(
      (x: fj.Tensor) => {
        w.assign(fj.add(w, 1))
        return fj.add(x, 1)
      },
      { device },
    )
    await step(fj.zeros([2]))
    const controller = new AbortController()
    const first = step(fj.zeros([2]))
    const second = step(fj.zeros([2]), { signal: controller.signal })
    controller.abort(new Error('enough'))
    await first
    await expect(second).rejects.toThrow('enough')
    expect(await w.item()).toBe(2)
  })
})

it('the collector knows of device memory', async () => {
  const MB = 2 ** 20
  const table = fj.variable(fj.tensor(new Float32Array(2 * MB)))
  const before = await settledMemory() // the variable lies on the host until it is used
  const total = fj.compile(() => fj.sum(fj.cumSum(table)), { device: TEST_DEVICE })
  await total()
  expect((await settledMemory()) - before).toBeGreaterThan(15 * MB) // the variable, and the sums in the arena
  total.dispose()
  expect((await settledMemory()) - before).toBeLessThan(9 * MB)
  table.dispose()
  expect((await settledMemory()) - before).toBeLessThan(MB)
})

it('variables move between devices', async () => {
  const w = fj.variable(fj.tensor([1, 2]))
  const on = (name: string) => fj.compile(() => fj.mul(w, 10), { device: name })
  const [here, there] = [on(device), on('cpu')]
  expect(await read(await here())).toEqual([10, 20])
  await w.assign(fj.tensor([3, 4]))
  expect(await read(await there())).toEqual([30, 40])
  expect(await read(await here())).toEqual([30, 40])
})

it('times every step', async () => {
  const f = fj.compile((x: fj.Tensor) => fj.relu(fj.add(x, 1)), { device })
  await f(fj.zeros([100]))
  const rows = await f.profile(fj.zeros([100]))
  expect(rows.map((row) => row.operation)).toEqual(['fused'])
  expect(rows[0]!.milliseconds).toBeGreaterThan(0)
  expect(await read(await f(fj.full([100], 2)))).toEqual(new Array(100).fill(3))
  expect(await read(await f(fj.full([2], -3)))).toEqual([0, 0])
})

it('float64 is refused by name', async () => {
  const f = fj.compile((x: fj.Tensor) => fj.add(x, 1), { device })
  await expect(f(fj.zeros([2], { dtype: 'float64' }))).rejects.toMatchObject({ code: 'ERR_DTYPE' })
})
