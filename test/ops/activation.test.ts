import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

const ACTIVATIONS: Record<string, (x: fj.Tensor) => fj.Tensor> = {
  relu: fj.relu,
  relu6: fj.relu6,
  leakyRelu: (x) => fj.leakyRelu(x, { alpha: 0.1 }),
  elu: fj.elu,
  selu: fj.selu,
  gelu: fj.gelu,
  silu: fj.silu,
  softplus: fj.softplus,
  sigmoid: fj.sigmoid,
  tanh: fj.tanh,
  hardswish: fj.hardswish,
}
const NAMES = Object.keys(ACTIVATIONS)

describe.each(DEVICES)('golden on %s', (device) => {
  for (const name of NAMES) {
    it.each(goldenCases(name))('$name', (test) => checkGolden(test, ({ x }) => ACTIVATIONS[name]!(x!), device))
  }
})

describe.each(NAMES)('%s', (name) => {
  const fn = ACTIVATIONS[name]!
  it('agrees with the reference, gradient included', async () => {
    for (const shape of [[], [0], [1], [7, 31], [33, 127]]) {
      const x = fj.mul(randomTensor(shape, 3), 4)
      await compareWithReference((t) => fn(t!), [x], { rtol: 1e-5 })
    }
  })
  it('has a correct gradient', async () => {
    await fj.gradcheck(fn, [fj.tensor([-7.1, -3.5, -1.3, -0.2, 0.3, 1.7, 2.9, 5.5, 8.2])])
  })
  it('is tame at both ends and hands NaN on', async () => {
    const [low, nan, zero, high] = await fn(fj.tensor([-80, Number.NaN, 0, 80])).data()
    const limits: Record<string, number[]> = {
      relu: [0, 0, 80],
      relu6: [0, 0, 6],
      leakyRelu: [-8, 0, 80],
      elu: [-1, 0, 80],
      selu: [-1.7580993408473766, 0, 84.05607907884379],
      gelu: [0, 0, 80],
      silu: [0, 0, 80],
      softplus: [0, Math.LN2, 80],
      sigmoid: [0, 0.5, 1],
      tanh: [-1, 0, 1],
      hardswish: [0, 0, 80],
    }
    const close = [low!, zero!, high!].map((y, i) => Math.abs(y - limits[name]![i]!))
    expect(Math.max(...close)).toBeLessThan(1e-5)
    expect(nan).toBeNaN()
  })
  it('refuses integers', () => {
    expect(() => fn(fj.zeros([2], { dtype: 'int32' }))).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
  })
})

it('takes PyTorch’s gradients where the slope jumps', async () => {
  const slopes = async (name: string, at: number[]) => {
    const x = fj.tensor(at)
    return [...(await fj.grad(fj.sum(ACTIVATIONS[name]!(x)), [x])[0]!.data())]
  }
  expect(await slopes('relu', [-1, 0, 1])).toEqual([0, 0, 1])
  expect(await slopes('relu6', [0, 1, 6])).toEqual([0, 1, 0])
  expect(await slopes('leakyRelu', [-1, 0, 1])).toEqual([Math.fround(0.1), Math.fround(0.1), 1])
  expect(await slopes('elu', [0])).toEqual([1])
  expect(await slopes('hardswish', [-4, -3, 3, 4])).toEqual([0, -0.5, 1.5, 1])
})

it('lets the alpha of elu and leakyRelu be chosen', async () => {
  await compareWithReference(
    (x) => [fj.elu(x!, { alpha: 0.3 }), fj.leakyRelu(x!, { alpha: -0.2 }), fj.leakyRelu(x!)],
    [randomTensor([100], 1)],
  )
  await fj.gradcheck((x) => fj.elu(x!, { alpha: -0.5 }), [randomTensor([10], 1)])
})
