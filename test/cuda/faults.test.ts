/** What goes wrong on the device under test is named, changes nothing, and leaves the device usable. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { runChildJson } from '../helpers/child.js'
import { TEST_DEVICE } from '../helpers/device.js'

const device = TEST_DEVICE

describe('a label that is no class', () => {
  const labels = (...list: number[]) => fj.tensor(list, { dtype: 'int32' })

  it('ends the run before anything is committed, whether launched or replayed', async () => {
    const count = fj.variable(fj.zeros([]))
    const step = fj.compile(
      (y: fj.Tensor) => {
        count.assign(fj.add(count, 1))
        return fj.crossEntropy(fj.zeros([3, 4]), y)
      },
      { device },
    )
    const bad = { code: 'ERR_ARGUMENT', message: expect.stringContaining('labels[1] is 9, expected 0..3') }
    await expect(step(labels(0, 9, 2))).rejects.toMatchObject(bad)
    for (let run = 0; run < 3; run++) {
      expect(await (await step(labels(0, 1, 3))).item()).toBeCloseTo(Math.log(4), 5)
      await expect(step(labels(0, 9, 2))).rejects.toMatchObject(bad)
    }
    expect(await count.item()).toBe(3)
  })

  it('ends its run only, among others that are under way', async () => {
    const count = fj.variable(fj.zeros([]))
    const step = fj.compile(
      (y: fj.Tensor) => {
        count.assign(fj.add(count, 1))
        return { loss: fj.crossEntropy(fj.zeros([3, 4]), y), before: fj.mul(count, 1) }
      },
      { device },
    )
    const runs = [0, 1, 9, 2, 3, -1, 0, 1].map((label) => step(labels(0, label, 2)))
    const ends = await Promise.allSettled(runs)
    expect(ends.map((end) => end.status === 'fulfilled')).toEqual([true, true, false, true, true, false, true, true])
    const before = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value.before.item()] : []))
    expect(await Promise.all(before)).toEqual([0, 1, 2, 3, 4, 5])
    const reasons = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.message] : []))
    expect(reasons).toEqual([
      expect.stringContaining('labels[1] is 9, expected 0..3'),
      expect.stringContaining('labels[1] is -1, expected 0..3'),
    ])
    expect(await count.item()).toBe(6)
  })
})

it('too large a program is refused with what was asked for, what is free, and the largest values', async () => {
  const huge = fj.compile(
    (x: fj.Tensor) => fj.sum(fj.transpose(fj.exp(fj.broadcastTo(x, [2_000_000_000, 100]))), { axes: 0 }),
    { device },
  )
  await expect(huge(fj.zeros([1, 100]))).rejects.toMatchObject({
    code: 'ERR_OUT_OF_MEMORY',
    message: expect.stringMatching(
      /no CUDA memory for an arena of \d{12,} bytes: \d+ of \d+ bytes are free; the largest values are \(/,
    ),
  })
  expect(await fj.add(fj.tensor([1]), 1).item()).toBe(2)
})

it('an operation of another device is refused by name', async () => {
  const f = fj.compile((a: fj.Tensor, b: fj.Tensor) => fj.matmul(a, b), { device, algorithms: { matmul: 'simd' } })
  await expect(f(fj.zeros([2, 3]), fj.zeros([3, 4]))).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED_OP',
    message: expect.stringContaining("matmul: CUDA has no variant 'simd', expected 'naive', "),
  })
})

it('LeNet-5 learns, the same launched kernel by kernel and as CUDA graphs, with branches and without', async () => {
  const train = (graph: string) =>
    runChildJson<{ losses: number[]; explained: string }>('cuda', { args: [device], env: { FORJA_CUDA_GRAPH: graph } })
  const [launched, line, replayed] = [await train('0'), await train('line'), await train('1')]
  expect(line.losses).toEqual(launched.losses)
  expect(replayed.losses).toEqual(launched.losses)
  expect(launched.losses.at(-1)!).toBeLessThan(0.5 * launched.losses[0]!)
  // Nor anything else that a driver may refuse.
  expect(replayed.explained).not.toMatch(/CUDA graph/)
}, 120_000)
