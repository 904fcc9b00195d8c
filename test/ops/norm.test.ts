import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { applyAll } from '../../lib/ops/apply.js'
import { batchNormOp, normalizeBatch } from '../../lib/ops/norm.js'
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

  it.each(SHAPES.map((shape) => [shape]))('%j with a residual', async (shape) => {
    const c = shape.at(-1)!
    const options = { rtol: 2e-4, atol: 1e-5 }
    const inputs = [randomTensor(shape, 1), randomTensor([c], 2), randomTensor([c], 3), randomTensor(shape, 4)]
    const norm = (activation: number) => (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor, residual?: fj.Tensor) =>
      applyAll(batchNormOp, [x!, gamma!, beta!, residual!], { eps: 1e-3, activation })
    for (const activation of [0, 1]) {
      await compareWithReference(norm(activation), inputs, { ...options, gradients: false })
    }
    // y over the residual's memory, over x's, and both being one.
    for (const over of [3, 0]) {
      await compareWithReference(
        (...args) => norm(1)(...args.map((arg, i) => (i === over ? fj.tanh(arg) : arg)))[0]!,
        inputs,
        {
          ...options,
          gradients: false,
          runs: 2,
          onExplained: (text) => expect(text).toContain(', 1 in place'),
        },
      )
    }
    const same = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) => {
      const y = fj.tanh(x!)
      return norm(0)(y, gamma, beta, y)
    }
    await compareWithReference(same, inputs.slice(0, 3), { ...options, gradients: false })
    const block = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor, residual?: fj.Tensor) =>
      fj.relu(fj.add(normalizeBatch(x!, gamma!, beta!, 1e-3)[0], residual!))
    await compareWithReference(block, inputs, {
      ...options,
      onExplained: (text) => expect(text).not.toMatch(/^\d+ +(add|relu)\b|\{[^}]*\b(add|relu)\b/m),
    })
  })

  it('adds the shortcuts of residual blocks', async () => {
    const shapes = [[2, 3, 9, 7], [3, 3, 3, 3], [5, 3, 3, 3], [5, 3, 1, 1], [3], [3], [5], [5]] // biome-ignore format: a table
    const inputs = shapes.map((shape, i) => randomTensor(shape, i + 1))
    await compareWithReference(
      (x, w, v, u, g, b, k, e) => {
        const norm = (x: fj.Tensor, gamma: fj.Tensor, beta: fj.Tensor) =>
          fj.batchNorm(x, { gamma, beta, training: true, eps: 1e-2 })
        const stem = fj.conv2d(x!, w!, null, { padding: 1 })
        const same = fj.relu(fj.add(norm(fj.conv2d(stem, w!, null, { padding: 1 }), g!, b!), stem))
        const halved = norm(fj.conv2d(same, v!, null, { stride: 2, padding: 1 }), k!, e!)
        return fj.relu(fj.add(halved, norm(fj.conv2d(same, u!, null, { stride: 2 }), e!, k!)))
      },
      inputs,
      { rtol: 1e-3, atol: 1e-4, onExplained: (text) => expect(text).not.toMatch(/fused \{.*\brelu\b/) },
    )
  })

  it('takes no residual that is unlike x', () => {
    const [x, vector] = [fj.zeros([4, 2, 3]), fj.zeros([3])]
    const made = (residual: fj.Tensor) => () =>
      applyAll(batchNormOp, [x, vector, vector, residual], { eps: 0, activation: 0 })
    for (const residual of [fj.zeros([2, 4, 3]), fj.zeros([3]), fj.zeros([4, 2, 3], { dtype: 'int32' })]) {
      expect(made(residual)).toThrow(
        expect.objectContaining({ code: 'ERR_SHAPE', message: expect.stringContaining('float32 (4, 2, 3) expected') }),
      )
    }
    const [y] = applyAll(batchNormOp, [x, vector, vector, x], { eps: 0, activation: 0 })
    expect(() => fj.grad(fj.sum(y!), [x])).toThrow('batchNorm: passes fold residuals after differentiation')
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

// Columns around vectors, packs of 128 bits and the rows that groups of 8, 32 .. 256 and 512 threads hold; a core takes chunks
// of 4096, threads share rows of more than 16384. Rows around the parts in which dgamma and dbeta are summed.
const ROWS: [number[], number?][] = [
  [[1, 1]],
  [[7, 1]],
  [[9]],
  [[1, 33]],
  [[33, 7]],
  [[3, 31, 5]],
  [[2, 12, 4, 8], 2],
  [[300, 24]],
  [[37, 127]],
  [[70, 128]],
  [[9, 129]],
  [[8, 512]],
  [[5, 513]],
  [[600, 516]],
  [[3, 1025]],
  [[5, 1028]],
  [[3, 2049]],
  [[2, 2052]],
  [[2, 4097]],
  [[3, 8200]],
  [[9, 16401]],
  [[2, 20000]],
]

describe('layerNorm', () => {
  const options = { atol: 1e-5 }

  it.each(ROWS)('%j', async (shape, axes = 1) => {
    const normalizedShape = shape.slice(-axes)
    const [x, gamma, beta] = [shape, normalizedShape, normalizedShape].map((s, i) => randomTensor(s, i + 1)) as [
      fj.Tensor,
      fj.Tensor,
      fj.Tensor,
    ]
    const eps = 1e-3
    await compareWithReference((x) => fj.layerNorm(x!, { normalizedShape, eps }), [x], options)
    await compareWithReference((x, gamma) => fj.layerNorm(x!, { gamma: gamma!, eps }), [x, gamma], options)
    const whole = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) =>
      fj.layerNorm(x!, { gamma: gamma!, beta: beta!, eps })
    await compareWithReference(whole, [x, gamma, beta], options)
    // y over x's memory, dx over dy's.
    await compareWithReference(
      (...inputs) => fj.tanh(whole(fj.tanh(inputs[0]!), ...inputs.slice(1))),
      [x, gamma, beta],
      {
        ...options,
        runs: 2,
      },
    )
  })

  it('shifts without scaling', () =>
    compareWithReference(
      (x, beta) => fj.layerNorm(x!, { beta: beta! }),
      [randomTensor([5, 9], 1), randomTensor([9], 2)],
    ))

  it('sums dgamma and dbeta of long rows over several parts', () =>
    compareWithReference(
      (x, gamma, beta) => fj.layerNorm(x!, { gamma: gamma!, beta: beta! }),
      [randomTensor([TEST_DEVICE === 'cpu' ? 131 : 3, 16385], 1), randomTensor([16385], 2), randomTensor([16385], 3)],
      options,
    ))

  it.each([[[7, 300]], [[5, 700]], [[3, 9000]], [[2, 17000]]])(
    'keeps its digits where the mean of %j is large',
    async (shape) => {
      const base = await randomTensor(shape, 4).data()
      const x = fj.tensor(
        Float32Array.from(base, (v, i) => 1000 + (i % 7) + 0.01 * v),
        { shape },
      )
      const far = fj.tensor(
        Float32Array.from(base, (v) => 1e4 + 0.1 * v),
        { shape },
      )
      for (const input of [x, far]) await compareWithReference((x) => fj.layerNorm(x!, { eps: 0 }), [input], options)
    },
  )

  it('takes no rows, and rows of no columns', async () => {
    const run = fj.compile(
      (x: fj.Tensor, gamma: fj.Tensor) => {
        const y = fj.layerNorm(x, { gamma, beta: gamma })
        return [y, ...fj.grad([y], [x, gamma], { gradOutputs: [fj.ones(x.shape)] })]
      },
      { device: TEST_DEVICE },
    )
    for (const columns of [5, 17000, 0]) {
      const [y, dx, dgamma] = await run(fj.zeros([columns ? 0 : 3, columns]), fj.ones([columns]))
      expect([y!.size, dx!.size]).toEqual([0, 0])
      expect([...(await dgamma!.data())]).toEqual(new Array(columns).fill(0))
    }
  })

  it('hands NaN and infinities on within their row', async () => {
    const x = fj.tensor([[1, Number.NaN, 2], [1, 2, 3], [Number.POSITIVE_INFINITY, 0, 1]]) // biome-ignore format: a table
    const y = await fj.layerNorm(x).data()
    expect([...y].map(Number.isNaN)).toEqual([true, true, true, false, false, false, true, true, true])
  })

  it('has gradients of first and second order', async () => {
    const inputs = [randomTensor([3, 5], 5), randomTensor([5], 6), randomTensor([5], 7)]
    const norm = (x?: fj.Tensor, gamma?: fj.Tensor, beta?: fj.Tensor) =>
      fj.layerNorm(x!, { gamma: gamma!, beta: beta!, eps: 0.1 })
    await fj.gradcheck(norm, inputs)
    const squares = (list: fj.Tensor[]) => list.map((t) => fj.sum(fj.square(t))).reduce((a, b) => fj.add(a, b))
    const cube = (y: fj.Tensor) => fj.sum(fj.mul(y, fj.mul(y, y)))
    // Of dx alone, of dgamma and dbeta alone, and of all.
    for (const wanted of [[0], [1], [2], [1, 2], [0, 1, 2]]) {
      await fj.gradcheck(
        (...args) =>
          squares(
            fj.grad(
              cube(norm(...args)),
              wanted.map((i) => args[i]!),
            ),
          ),
        inputs,
        { tolerance: 1e-4 },
      )
    }
    await fj.gradcheck((x) => squares(fj.grad(cube(fj.layerNorm(x!, { eps: 0.1 })), [x!])), [randomTensor([5], 8)], {
      tolerance: 1e-4,
    })
  })

  it.runIf(TEST_DEVICE === 'cpu')('gives the same bits for any number of threads', async () => {
    const [cpu] = (await fj.devices()).filter((d) => d.kind === 'cpu')
    const bits = async ([rows, columns]: number[]) => {
      const run = fj.compile(
        (x: fj.Tensor, gamma: fj.Tensor) => {
          const y = fj.layerNorm(x, { gamma, beta: gamma })
          return [y, ...fj.grad([y], [x, gamma], { gradOutputs: [fj.sin(x)] })]
        },
        { device: 'cpu' },
      )
      const results = await run(randomTensor([rows!, columns!], 1), randomTensor([columns!], 2))
      return Promise.all(results.map((t) => t.data()))
    }
    try {
      for (const shape of [
        [700, 33],
        [5, 127],
        [20, 16401],
      ]) {
        // biome-ignore format: a table
        await fj.setThreads(1)
        const alone = await bits(shape)
        for (const threads of [2, 5]) {
          await fj.setThreads(threads)
          expect(await bits(shape), `${threads} threads: ${JSON.stringify(shape)}`).toEqual(alone)
        }
      }
    } finally {
      await fj.setThreads(cpu!.threads)
    }
  })
})

describe('the others', () => {
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
  fails(() => fj.layerNorm(x, { gamma: fj.ones([3]) }), 'ERR_SHAPE', 'normalizedShape (3,) does not match')
  fails(
    () => fj.layerNorm(x, { beta: fj.ones([3]), normalizedShape: [2] }),
    'ERR_SHAPE',
    'beta has shape (3,); (2,) expected',
  )
  fails(() => fj.layerNorm(fj.zeros([3], { dtype: 'int32' })), 'ERR_DTYPE', 'float32 expected, got int32')
  fails(() => fj.layerNorm(x, { eps: -1 }), 'ERR_ARGUMENT', 'eps must not be negative')
  fails(() => fj.groupNorm(x, { groups: 2 }), 'ERR_ARGUMENT', '3 channels do not divide into 2 groups')
  fails(() => fj.localResponseNorm(x, { size: 0 }), 'ERR_ARGUMENT', 'size')
})
