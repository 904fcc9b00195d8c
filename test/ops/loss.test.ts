import { describe, expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { fold } from '../../lib/passes/fold.js'
import {
  checkGolden,
  compareWithReference,
  expectClose,
  goldenCases,
  ROWS_TO_SHARE,
  randomTensor,
} from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

const TARGET_LOSSES = {
  mseLoss: fj.mseLoss,
  l1Loss: fj.l1Loss,
  smoothL1Loss: fj.smoothL1Loss,
  huberLoss: fj.huberLoss,
  binaryCrossEntropy: fj.binaryCrossEntropy,
  binaryCrossEntropyWithLogits: fj.binaryCrossEntropyWithLogits,
  klDivLoss: fj.klDivLoss,
}

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('crossEntropy'))('$name', (test) =>
    checkGolden(test, ({ logits, labels }, attrs) => fj.crossEntropy(logits!, labels!, attrs), device),
  )
  for (const [name, op] of Object.entries(TARGET_LOSSES)) {
    it.each(goldenCases(name))('$name', (test) =>
      checkGolden(test, ({ input, target }, attrs) => op(input!, target!, attrs), device),
    )
  }
})

const probabilities = (shape: number[], seed: number) => fj.softmax(randomTensor(shape, seed))

describe.each(Object.entries(TARGET_LOSSES))('%s', (name, op) => {
  it.each(['mean', 'sum', 'none'] as const)('reduction %s agrees with the reference', async (reduction) => {
    const target = await probabilities([7, 31], 2).data()
    const input =
      name === 'binaryCrossEntropy' ? await probabilities([7, 31], 1).data() : await randomTensor([7, 31], 1).data()
    const [x, t] = [input, target].map((data) => fj.tensor(data, { shape: [7, 31] }))
    await compareWithReference((a, b) => op(a!, b!, { reduction }), [x!, t!])
  })

  it('names bad arguments', () => {
    expect(() => op(fj.zeros([2, 3]), fj.zeros([3, 2]))).toThrow(/input has shape \(2, 3\), target \(3, 2\)/)
    expect(() => op(fj.zeros([2], { dtype: 'int32' }), fj.zeros([2]))).toThrow(
      expect.objectContaining({ code: 'ERR_DTYPE' }),
    )
    expect(() => op(fj.zeros([2]), fj.zeros([2]), { reduction: 'average' as 'mean' })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })
})

it('has correct gradients', async () => {
  const [x, t] = [randomTensor([3, 4], 1), randomTensor([3, 4], 2)]
  const p = fj.tensor(await probabilities([3, 4], 3).data(), { shape: [3, 4] })
  const q = fj.tensor(await probabilities([3, 4], 4).data(), { shape: [3, 4] })
  await fj.gradcheck((a, b) => fj.mseLoss(a!, b!), [x, t])
  await fj.gradcheck((a, b) => fj.l1Loss(a!, b!), [x, t])
  await fj.gradcheck((a, b) => fj.smoothL1Loss(a!, b!, { beta: 0.5 }), [x, t])
  await fj.gradcheck((a, b) => fj.huberLoss(a!, b!, { delta: 1.5 }), [x, t])
  await fj.gradcheck((a, b) => fj.binaryCrossEntropy(a!, b!), [p, q])
  await fj.gradcheck((a, b) => fj.binaryCrossEntropyWithLogits(a!, b!), [x, q])
  await fj.gradcheck((a, b) => fj.klDivLoss(a!, b!, { reduction: 'batchmean' }), [x, q])
  await fj.gradcheck((a, b) => fj.klDivLoss(a!, b!, { logTarget: true }), [x, t])
  await fj.gradcheck((a, b) => fj.crossEntropy(a!, b!, { labelSmoothing: 0.1 }), [x, q])
})

it('keeps the binary losses finite at their edges', async () => {
  const [x, t] = [fj.tensor([0, 1, 0, 1]), fj.tensor([0, 1, 1, 0])]
  expectClose(await fj.binaryCrossEntropy(x, t, { reduction: 'none' }).data(), [0, 0, 100, 100], 'loss')
  const [dx] = fj.grad(fj.binaryCrossEntropy(x, t), [x])
  for (const v of await dx!.data()) expect(Number.isFinite(v)).toBe(true)
  const big = fj.tensor([-1000, 1000, 0])
  expectClose(
    await fj.binaryCrossEntropyWithLogits(big, fj.tensor([0, 1, 1]), { reduction: 'none' }).data(),
    [0, 0, Math.log(2)],
    'loss',
  )
  const infinite = fj.tensor([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  const half = fj.tensor([0.5, 0.5])
  expect([...(await fj.binaryCrossEntropyWithLogits(infinite, half, { reduction: 'none' }).data())]).toEqual([
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ])
  expectClose(await fj.klDivLoss(fj.tensor([-1, -2]), fj.tensor([0, 1]), { reduction: 'none' }).data(), [0, 2], 'kl')
})

it('keeps the digits of a small loss: the right answer, given with confidence', async () => {
  const logits = [12, 20, 60, -12, -20, -60]
  const [x, t] = [fj.tensor(logits), fj.tensor(logits.map((v) => Number(v > 0)))]
  const loss = fj.binaryCrossEntropyWithLogits(x, t, { reduction: 'none' })
  const [dx] = fj.grad(fj.sum(loss), [x])
  const [y, d] = [await loss.data(), await dx!.data()]
  for (const [i, v] of logits.entries()) {
    expect(y[i]! / Math.log1p(Math.exp(-Math.abs(v)))).toBeCloseTo(1, 5)
    expect((d[i]! * (1 + Math.exp(Math.abs(v)))) / -Math.sign(v)).toBeCloseTo(1, 5)
  }
})

describe('crossEntropy', () => {
  const labels = (n: number, classes: number, dtype: 'int32' | 'uint8' = 'int32') =>
    randomTensor([n], 9, dtype, classes)
  it.each(ROWS_TO_SHARE)('%i rows of %i, with its gradient, alone, and each by itself', async (n, classes) => {
    const [x, y] = [randomTensor([n, classes], 1), labels(n, classes)]
    const kernels: string[] = []
    const onExplained = (text: string) => kernels.push([...new Set(text.match(/\bcrossEntropy\w*/g))].join(' '))
    await compareWithReference((x) => fj.crossEntropy(x!, y), [x], { onExplained })
    await compareWithReference((x) => fj.crossEntropy(x!, y), [x], { onExplained, gradients: false })
    const weight = fj.tensor(Float32Array.from({ length: classes }, (_, c) => 0.5 + (c % 3)))
    await compareWithReference((x) => fj.crossEntropy(x!, y, { weight }), [x], { onExplained })
    expect(kernels).toEqual(['crossEntropyWithGrad', 'crossEntropy', 'crossEntropy crossEntropyGrad'])
  })

  const SIZES: [number, number][] = [
    [1, 1],
    [128, 10],
    [7, 31],
    [33, 1000],
  ]
  it.each(SIZES)('(%i, %i) with all options, labels int32 and uint8', async (n, classes) => {
    const logits = randomTensor([n, classes], 1)
    const weight = fj.tensor(Float32Array.from({ length: classes }, (_, c) => 0.5 + (c % 3)))
    for (const reduction of ['mean', 'sum', 'none'] as const) {
      for (const options of [
        {},
        { labelSmoothing: 0.2 },
        { weight },
        { weight, labelSmoothing: 0.2 },
        { ignoreIndex: 0 },
      ]) {
        if (classes === 1 && 'ignoreIndex' in options) continue
        for (const dtype of ['int32', 'uint8'] as const) {
          const y = labels(n, Math.min(classes, 200), dtype)
          await compareWithReference((x) => fj.crossEntropy(x!, y, { ...options, reduction }), [logits])
        }
      }
    }
  })

  it.each([[[2, 5, 3]], [[2, 3, 4, 5]], [[4]]])('%j: classes along the second axis', async (shape) => {
    const rest = shape.filter((_, axis) => axis !== (shape.length === 1 ? 0 : 1))
    const y = randomTensor(rest, 2, 'int32', 3)
    for (const reduction of ['mean', 'none'] as const) {
      await compareWithReference((x) => fj.crossEntropy(x!, y, { reduction }), [randomTensor(shape, 1)])
    }
    expect(fj.crossEntropy(randomTensor(shape, 1), y, { reduction: 'none' }).shape).toEqual(rest)
  })

  it('is differentiated correctly, twice', async () => {
    const y = fj.tensor([2, 0, 3], { dtype: 'int32' })
    const weight = fj.tensor([1, 2, 0.5, 3])
    for (const options of [{}, { labelSmoothing: 0.1, weight }, { ignoreIndex: 0 }]) {
      const loss = (x: fj.Tensor) => fj.crossEntropy(x, y, options)
      await fj.gradcheck((x) => loss(x!), [randomTensor([3, 4], 1)])
      const twice = (x: fj.Tensor) =>
        fj.grad(fj.sum(fj.mul(fj.grad(loss(x), [x])[0]!, randomTensor([3, 4], 3))), [x])[0]!
      await compareWithReference((x) => twice(x!), [randomTensor([3, 4], 1)], { gradients: false })
      await fj.gradcheck(
        (x) => fj.sum(fj.mul(fj.grad(loss(x!), [x!])[0]!, randomTensor([3, 4], 3))),
        [randomTensor([3, 4], 1)],
      )
    }
  })

  it('agrees with logSoftmax and nllLoss', async () => {
    const [x, y] = [randomTensor([31, 7], 1), labels(31, 7)]
    for (const options of [{}, { ignoreIndex: 3 }, { weight: fj.tensor([1, 2, 3, 4, 5, 6, 7]) }]) {
      const whole = await fj.crossEntropy(x, y, options).data()
      expectClose(await fj.nllLoss(fj.logSoftmax(x), y, options).data(), whole, 'nllLoss')
    }
    await compareWithReference((a) => fj.nllLoss(a!, y), [x])
    await fj.gradcheck((a) => fj.nllLoss(a!, y), [x])
  })

  it('does not overflow for huge logits', async () => {
    const x = fj.tensor([
      [1e5, -1e5, 0],
      [-1e5, 1e5, 1e5],
    ])
    const y = fj.tensor([0, 2], { dtype: 'int32' })
    const loss = fj.crossEntropy(x, y, { reduction: 'none' })
    expectClose(await loss.data(), [0, Math.log(2)], 'loss')
    const [dx] = fj.grad(fj.sum(loss), [x])
    expectClose(await dx!.data(), [0, 0, 0, 0, 0.5, -0.5], 'gradient')
  })

  it('is infinite where a class that cannot be has a share', async () => {
    const x = fj.tensor([[0, Number.NEGATIVE_INFINITY, 1]])
    const loss = (label: number, labelSmoothing: number) =>
      fj.crossEntropy(x, fj.tensor([label], { dtype: 'int32' }), { labelSmoothing }).item()
    expect(await loss(1, 0)).toBe(Number.POSITIVE_INFINITY)
    expect(await loss(1, 0.1)).toBe(Number.POSITIVE_INFINITY)
    expect(await loss(0, 0.1)).toBe(Number.POSITIVE_INFINITY)
  })

  it('has a gradient that waits for no sum of the loss', () => {
    const logits = new fj.Tensor(makeLeaf({ kind: 'input', name: 'logits' }, { shape: [3, 4], dtype: 'float32' }))
    const graphOf = (y: fj.Tensor) => fold(new Graph([fj.grad(fj.crossEntropy(logits, y), [logits])[0]!.value])).nodes()
    const isSum = ({ op }: { op: { name: string } }) => op.name === 'sum'
    expect(graphOf(labels(3, 4, 'uint8')).find(isSum)).toBeUndefined()
    const sum = graphOf(labels(3, 4, 'int32')).find(isSum)!
    expect(new Graph(sum.inputs).nodes().map(({ op }) => op.name)).toContain('notEqual')
    expect(new Graph(sum.inputs).nodes().map(({ op }) => op.name)).not.toContain('crossEntropy')
  })

  it.each([1, 40])(
    'has no gradient where a label is ignored, whatever the logits, in rows of %i more',
    async (more) => {
      const rows = [
        [Number.NaN, 1],
        [Number.POSITIVE_INFINITY, 2],
        [3, 4],
      ]
      const x = fj.tensor(rows.map((row) => [...row, ...new Array<number>(more).fill(0)]))
      const y = fj.tensor([1, 1, 0], { dtype: 'int32' })
      for (const labelSmoothing of [0, 0.1]) {
        const loss = (x: fj.Tensor) => fj.crossEntropy(x, y, { ignoreIndex: 1, labelSmoothing, reduction: 'none' })
        await compareWithReference((x) => loss(x!), [x])
      }
    },
  )

  it('takes an empty batch, and gives NaN for a mean over nothing', async () => {
    const y = fj.tensor(new Int32Array(0), { dtype: 'int32' })
    expect(await fj.crossEntropy(fj.zeros([0, 3]), y, { reduction: 'sum' }).item()).toBe(0)
    const ignored = fj.tensor([-100, -100], { dtype: 'int32' })
    expect(await fj.crossEntropy(fj.zeros([2, 3]), ignored).item()).toBeNaN()
  })

  it.each(DEVICES)('names a label that is no class on %s', async (device) => {
    for (const [bad, dtype] of [
      [12, 'int32'],
      [-1, 'int32'],
      [255, 'uint8'],
    ] as const) {
      const data = Int32Array.from({ length: 32 }, (_, i) => (i === 17 ? bad : i % 10))
      const y = fj.tensor(data, { dtype })
      const step = fj.compile((x: fj.Tensor, t: fj.Tensor) => fj.crossEntropy(x, t), { device })
      await expect(step(randomTensor([32, 10], 1), y)).rejects.toThrow(
        expect.objectContaining({
          code: 'ERR_ARGUMENT',
          message: expect.stringContaining(`labels[17] is ${bad}, expected 0..9`),
        }),
      )
      step.dispose()
    }
  })

  it('names bad shapes and dtypes', () => {
    const x = fj.zeros([4, 3])
    expect(() => fj.crossEntropy(x, x, { ignoreIndex: 0 })).toThrow(/ignoreIndex is one of labels, .* float32/)
    const y = fj.zeros([4], { dtype: 'int32' })
    const fails = (code: string, body: () => unknown) => expect(body).toThrow(expect.objectContaining({ code }))
    fails('ERR_SHAPE', () => fj.crossEntropy(x, fj.zeros([5], { dtype: 'int32' })))
    fails('ERR_SHAPE', () => fj.crossEntropy(x, fj.zeros([4])))
    fails('ERR_DTYPE', () => fj.crossEntropy(x, fj.zeros([4], { dtype: 'bool' })))
    fails('ERR_SHAPE', () => fj.crossEntropy(x, y, { weight: fj.ones([4]) }))
    fails('ERR_ARGUMENT', () => fj.crossEntropy(x, y, { labelSmoothing: 2 }))
    fails('ERR_ARGUMENT', () => fj.crossEntropy(x, y, { reduction: 'avg' as 'mean' }))
  })
})
