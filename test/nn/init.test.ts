import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose } from '../helpers/compare.js'

const { init } = fj.nn
const code = (value: string) => expect.objectContaining({ code: value })

async function statistics(tensor: fj.Tensor) {
  const data = Array.from(await tensor.data())
  const mean = data.reduce((a, b) => a + b, 0) / data.length
  const std = Math.sqrt(data.reduce((a, b) => a + (b - mean) ** 2, 0) / data.length)
  return { mean, std, largest: Math.max(...data.map(Math.abs)), min: Math.min(...data), max: Math.max(...data) }
}

it('constant, zeros, ones', async () => {
  expect(await init.constant(2.5)([2, 2]).array()).toEqual([
    [2.5, 2.5],
    [2.5, 2.5],
  ])
  expect(await init.zeros()([2]).array()).toEqual([0, 0])
  expect(await init.ones()([2]).array()).toEqual([1, 1])
})

// (64, 32, 3, 3): fan-in 288, fan-out 576; 18,432 elements, so a standard deviation is known to about 0.5 %.
const SHAPE = [64, 32, 3, 3]

describe('has the spread that the formula gives', () => {
  it.each([
    ['normal', init.normal({ mean: 3, std: 0.1 }), 0.1, 3],
    ['xavierNormal', init.xavierNormal(), Math.sqrt(2 / 864), 0],
    ['kaimingNormal', init.kaimingNormal(), Math.sqrt(2 / 288), 0],
    ['kaimingNormal fanOut', init.kaimingNormal({ mode: 'fanOut' }), Math.sqrt(2 / 576), 0],
    ['kaimingNormal linear', init.kaimingNormal({ nonlinearity: 'linear' }), Math.sqrt(1 / 288), 0],
    ['kaimingNormal leakyRelu', init.kaimingNormal({ alpha: 1 }), Math.sqrt(1 / 288), 0],
  ] as const)('%s', async (_name, initializer, std, mean) => {
    fj.setSeed(17)
    const found = await statistics(initializer(SHAPE))
    expect(Math.abs(found.std / std - 1)).toBeLessThan(0.03)
    expect(Math.abs(found.mean - mean)).toBeLessThan(0.03 * std)
    expect(found.largest).toBeGreaterThan(3 * std)
  })

  it.each([
    ['xavierUniform', init.xavierUniform({ gain: 2 }), 2 * Math.sqrt(6 / 864)],
    ['kaimingUniform', init.kaimingUniform(), Math.sqrt(6 / 288)],
    ['kaimingUniform tanh', init.kaimingUniform({ nonlinearity: 'tanh' }), (5 / 3) * Math.sqrt(3 / 288)],
    ['uniform', init.uniform({ low: -0.2, high: 0.2 }), 0.2],
  ] as const)('%s', async (_name, initializer, bound) => {
    fj.setSeed(18)
    const found = await statistics(initializer(SHAPE))
    expect(found.largest).toBeLessThanOrEqual(bound * (1 + 1e-6))
    expect(found.largest).toBeGreaterThan(0.995 * bound)
    expect(Math.abs((found.std * Math.sqrt(3)) / bound - 1)).toBeLessThan(0.03)
  })
})

it.each([
  [5, 5],
  [12, 3],
  [3, 12],
  [4, 2, 3, 1],
  [1, 7],
])('orthogonal (%s, %s) has orthonormal rows or columns', async (...shape) => {
  fj.setSeed(4)
  const [rows, columns] = [shape[0]!, shape.slice(1).reduce((a, b) => a * b, 1)]
  const matrix = fj.reshape(init.orthogonal({ gain: 2 })(shape), [rows, columns])
  const gram = fj.matmul(matrix, matrix, rows < columns ? { transposeB: true } : { transposeA: true })
  const n = Math.min(rows, columns)
  const identity = Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 4 : 0))
  expectClose(await gram.data(), identity, 'gram matrix', { atol: 2e-5 })
})

describe('layers begin as PyTorch’s', () => {
  it('Linear and Conv2d: evenly within 1/√fanIn', async () => {
    fj.setSeed(6)
    const linear = new fj.nn.Linear(100, 200)
    for (const variable of linear.parameters()) {
      const found = await statistics(variable)
      expect(found.largest).toBeLessThanOrEqual(0.1)
      expect(found.largest).toBeGreaterThan(0.09)
    }
    const conv = new fj.nn.Conv2d(16, 64, 5, { groups: 4 })
    for (const variable of conv.parameters()) {
      const found = await statistics(variable)
      expect(found.largest).toBeLessThanOrEqual(0.1)
      expect(found.largest).toBeGreaterThan(0.09)
    }
  })

  it('Embedding: normal', async () => {
    fj.setSeed(6)
    const { mean, std } = await statistics(new fj.nn.Embedding(100, 80).weight)
    expect(Math.abs(mean)).toBeLessThan(0.05)
    expect(Math.abs(std - 1)).toBeLessThan(0.05)
  })

  it('with other initial values where asked', async () => {
    const layer = new fj.nn.Linear(2, 2, { weightInit: init.ones(), biasInit: init.constant(3) })
    expect(await layer.forward(fj.ones([1, 2])).array()).toEqual([[5, 5]])
  })

  it('by the seed', async () => {
    const draw = async (seed: number) => {
      fj.setSeed(seed)
      const state = await fj.models.lenet5().stateDict()
      return await state['conv2.weight']!.data()
    }
    const first = await draw(1)
    expect(await draw(1)).toEqual(first)
    expect(await draw(2)).not.toEqual(first)
  })
})

it('refuses what makes no sense', () => {
  expect(() => init.xavierUniform()([3])).toThrow(code('ERR_SHAPE'))
  expect(() => init.normal({ std: -1 })).toThrow(code('ERR_ARGUMENT'))
  expect(() => init.uniform({ low: 1, high: 0 })).toThrow(code('ERR_ARGUMENT'))
  expect(() => init.kaimingNormal({ mode: 'fan_in' as never })([2, 2])).toThrow(code('ERR_ARGUMENT'))
  expect(() => init.kaimingNormal({ nonlinearity: 'swish' as never })([2, 2])).toThrow(
    /unknown nonlinearity 'swish'; expected one of/,
  )
})
