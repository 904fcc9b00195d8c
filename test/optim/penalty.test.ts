import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose } from '../helpers/compare.js'

const a = fj.tensor([
  [1, -2],
  [3, 0],
])
const b = fj.tensor([-4])

it('sums penalties over all parameters', async () => {
  expect(await fj.l1Penalty([a, b], 0.5).item()).toBeCloseTo(5, 5)
  expect(await fj.l2Penalty([a, b], 0.5).item()).toBeCloseTo(15, 5)
  const w = fj.variable(a, { storageAxes: [1, 0] })
  const slope = fj.compile(() => fj.grad(fj.l2Penalty([w], 0.5), [w])[0]!)
  expectClose(await (await slope()).data(), await a.data(), 'gradient of Σ w² / 2')
  expect(() => fj.l1Penalty([], 1)).toThrow(/at least one tensor/)
})

it('clips gradients by their common norm', async () => {
  const [x, none, y] = fj.clipGradNorm([a, null, b], 1) as [fj.Tensor, null, fj.Tensor]
  const norm = Math.sqrt(30)
  expectClose(
    await x.data(),
    [1, -2, 3, 0].map((v) => v / norm),
    'a',
  )
  expectClose(await y.data(), [-4 / norm], 'b')
  expect(none).toBeNull()
  const [same] = fj.clipGradNorm([a, b], 10)
  expectClose(await same!.data(), [1, -2, 3, 0], 'a')
})
