import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { normalizeBatch } from '../../lib/ops/norm.js'
import {
  checkGolden,
  compareWithReference,
  expectClose,
  type GoldenCase,
  goldenCases,
  goldenTensor,
  randomTensor,
} from '../helpers/compare.js'
import { DEVICES, TEST_DEVICE } from '../helpers/device.js'

const running = (test: GoldenCase, name: string) => goldenTensor(test.state![name]!)
const cases = (training: boolean) => goldenCases('batchNorm').filter((c) => Object.is(c.attrs.training, training))

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(cases(false))('$name', (test) =>
    checkGolden(
      test,
      ({ x, gamma, beta }, attrs) =>
        fj.batchNorm(x!, {
          gamma,
          beta,
          runningMean: running(test, 'runningMean'),
          runningVar: running(test, 'runningVar'),
          ...(attrs as object),
        }),
      device,
    ),
  )

  it.each(cases(true))('$name', async (test) => {
    const { outputs } = test
    const runningMean = fj.variable(running(test, 'runningMean'))
    const runningVar = fj.variable(running(test, 'runningVar'))
    const { runningMean: wantedMean, runningVar: wantedVar, ...rest } = outputs
    await checkGolden(
      { ...test, outputs: rest },
      ({ x, gamma, beta }, attrs) => fj.batchNorm(x!, { gamma, beta, runningMean, runningVar, ...(attrs as object) }),
      device,
    )
    expectClose(await runningMean.data(), wantedMean!.data, 'runningMean')
    expectClose(await runningVar.data(), wantedVar!.data, 'runningVar')
  })

  it.each(goldenCases('layerNorm'))('$name', (test) =>
    checkGolden(test, ({ x, gamma, beta }, attrs) => fj.layerNorm(x!, { gamma, beta, ...(attrs as object) }), device),
  )
  it.each(goldenCases('groupNorm'))('$name', (test) =>
    checkGolden(
      test,
      ({ x, gamma, beta }, attrs) =>
        fj.groupNorm(x!, { gamma, beta, groups: attrs.groups as unknown as number, ...(attrs as object) }),
      device,
    ),
  )
  it.each(goldenCases('localResponseNorm'))('$name', (test) =>
    checkGolden(test, ({ x }, attrs) => fj.localResponseNorm(x!, attrs as never), device),
  )
})

// Channels around the widths that are grouped, rows around the size of a chunk.
const SHAPES = [
  [2, 1],
  [7, 6],
  [33, 7],
  [127, 16],
  [3, 31, 5],
  [2, 33, 3, 7],
  [2, 6, 40, 31],
  [4, 64, 9, 5],
  [3, 127, 7, 7],
  [300, 257],
]

describe('batchNorm in training', () => {
  it.each(SHAPES.map((shape) => [shape]))('%j', async (shape) => {
    const c = shape[1]!
    const options = { rtol: 2e-4, atol: 1e-5 }
    const inputs = [randomTensor(shape, 1), randomTensor([c], 2), randomTensor([c], 3)]
    const norm = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) =>
      fj.batchNorm(x!, { gamma: gamma!, beta: beta!, training: true, eps: 1e-3 })
    await compareWithReference(norm, inputs, options)
    await compareWithReference((...args) => fj.relu(norm(...args)), inputs, options)
  })

  it('gives mean and variance with their gradients', async () => {
    const inputs = [randomTensor([37, 5, 19], 1), randomTensor([19], 2), randomTensor([19], 3)]
    await compareWithReference((x, g, b) => normalizeBatch(x!, g!, b!, 1e-5), inputs, { atol: 1e-5 })
  })

  it('keeps its digits where the mean is large and the batch is long', async () => {
    const base = await randomTensor([100000, 3], 4).data()
    const x = fj.tensor(
      Float32Array.from(base, (v, i) => 1000 + (i % 3) + 0.01 * v),
      { shape: [100000, 3] },
    )
    const compiled = fj.compile((x: fj.Tensor) => normalizeBatch(x, fj.ones([3]), fj.zeros([3]), 0), {
      device: TEST_DEVICE,
    })
    const variance = await (await compiled(x))[2]!.data()
    const exact = [0, 0, 0]
    const given = await x.data()
    const mean = [0, 0, 0]
    given.forEach((v, i) => {
      mean[i % 3]! += v / 100000
    })
    given.forEach((v, i) => {
      exact[i % 3]! += (v - mean[i % 3]!) ** 2 / 100000
    })
    expectClose(variance, exact, 'variance', { rtol: 1e-5, atol: 0 })
  })

  it('has gradients of first and second order', async () => {
    const inputs = [randomTensor([3, 2, 2, 2], 5), randomTensor([2], 6), randomTensor([2], 7)]
    const norm = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) =>
      fj.batchNorm(x!, { gamma: gamma!, beta: beta!, training: true, eps: 0.1 })
    await fj.gradcheck(norm, inputs)
    await fj.gradcheck(
      (...args) => {
        const y = norm(...args)
        const [dx, dgamma, dbeta] = fj.grad(fj.sum(fj.mul(y, fj.mul(y, y))), args)
        return fj.add(fj.sum(fj.mul(dx!, dx!)), fj.add(fj.sum(fj.mul(dgamma!, dgamma!)), fj.sum(fj.square(dbeta!))))
      },
      inputs,
      { tolerance: 1e-4 },
    )
  })

  it('moves running statistics once a call, and only in a compiled function', async () => {
    const runningMean = fj.variable(fj.zeros([2]))
    const runningVar = fj.variable(fj.ones([2]))
    const x = fj.tensor([1, 10, 3, 20], { shape: [2, 2] })
    const forward = (x: fj.Tensor) => fj.batchNorm(x, { runningMean, runningVar, training: true, momentum: 0.5 })
    await forward(x).data()
    expect(await runningMean.array()).toEqual([0, 0])
    const step = fj.compile(forward, { device: TEST_DEVICE })
    await step(x)
    expect(await runningMean.array()).toEqual([1, 7.5])
    expect(await runningVar.array()).toEqual([1.5, 25.5])
    await step(x)
    expect(await runningMean.array()).toEqual([1.5, 11.25])
  })
})

describe('the others', () => {
  it('layerNorm over one and several axes, with and without gamma and beta', async () => {
    for (const shape of [
      [1, 1],
      [7, 33],
      [3, 31, 5],
    ]) {
      const x = randomTensor(shape, 1)
      await compareWithReference((x) => fj.layerNorm(x!), [x], { atol: 1e-5 })
      const tail = shape.slice(1)
      const [gamma, beta] = [randomTensor(tail, 2), randomTensor(tail, 3)]
      const norm = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) =>
        fj.layerNorm(x!, { gamma: gamma!, beta: beta!, normalizedShape: tail })
      await compareWithReference(norm, [x, gamma, beta], { atol: 1e-5 })
    }
    await fj.gradcheck((x) => fj.layerNorm(x!, { eps: 0.1 }), [randomTensor([2, 5], 1)])
  })

  it('groupNorm and localResponseNorm', async () => {
    const x = randomTensor([2, 6, 5, 3], 1)
    const norm = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) =>
      fj.groupNorm(x!, { groups: 2, gamma: gamma!, beta: beta! })
    await compareWithReference(norm, [x, randomTensor([6], 2), randomTensor([6], 3)], { atol: 1e-5 })
    for (const size of [1, 2, 5, 9]) {
      await compareWithReference((x) => fj.localResponseNorm(x!, { size, alpha: 0.5, k: 2 }), [x])
    }
    const small = randomTensor([1, 4, 2], 4)
    await fj.gradcheck((x) => fj.groupNorm(x!, { groups: 2, eps: 0.1 }), [small])
    await fj.gradcheck((x) => fj.localResponseNorm(x!, { size: 3, alpha: 1 }), [small])
  })
})

it('names what is wrong', () => {
  const x = fj.zeros([4, 3, 2])
  const fails = (make: () => unknown, code: string, text: string) =>
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }))
  fails(() => fj.batchNorm(x), 'ERR_ARGUMENT', 'runningMean and runningVar are needed')
  fails(() => fj.batchNorm(fj.zeros([1, 3]), { training: true }), 'ERR_SHAPE', 'more than one value per channel')
  fails(
    () => fj.batchNorm(x, { gamma: fj.ones([2]), training: true }),
    'ERR_SHAPE',
    'gamma has shape (2,); (3,) expected',
  )
  fails(() => fj.layerNorm(x, { normalizedShape: [3] }), 'ERR_SHAPE', 'does not match the last axes')
  fails(() => fj.groupNorm(x, { groups: 2 }), 'ERR_ARGUMENT', '3 channels do not divide into 2 groups')
  fails(() => fj.localResponseNorm(x, { size: 0 }), 'ERR_ARGUMENT', 'size')
})
