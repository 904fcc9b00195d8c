import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

/** A network that answers with its input. */
const echo = { forward: (x: fj.Tensor) => x, parameters: () => [] }

const SCORES = [
  [0.9, 0.05, 0.03, 0.02], // 0, then 1, 2, 3
  [0.1, 0.2, 0.3, 0.4], // 3, 2, 1, 0
  [0.4, 0.3, 0.2, 0.1], // 0, 1, 2, 3
  [0.1, 0.6, 0.1, 0.2], // 1, 3, 0, 2
  [0.2, 0.1, 0.6, 0.1], // 2, 0, 1, 3
]
const LABELS = Int32Array.of(0, 2, 3, 1, 0) // right: 1st and 4th; within two: all but the 3rd

const classified = fj.data.fromArrays({ x: SCORES, y: LABELS, classes: 4 })

describe.each(['cpu', 'reference'])('metrics on %s', (device) => {
  // batchSize 2: three batches, the last one smaller.
  const evaluate = (data: fj.data.ArrayDataset, options: object) =>
    fj.evaluateModel(echo, data, { device, batchSize: 2, ...options })

  it('accuracy, and whether the label is among the first k', async () => {
    const metrics = ['accuracy', 'top2Accuracy', 'top4Accuracy', fj.metrics.topKAccuracy({ k: 3 })] as const
    const { loss, ...scores } = await evaluate(classified, { metrics })
    expect(loss).toBeGreaterThan(0)
    expect(scores).toEqual({ accuracy: 2 / 5, top2Accuracy: 4 / 5, top4Accuracy: 1, top3Accuracy: 4 / 5 })
  })

  it('accuracy of targets that are probabilities, and of labels at every place of an image', async () => {
    const oneHot = [...LABELS].map((label) => [0, 1, 2, 3].map((c) => (c === label ? 1 : 0)))
    const soft = fj.data.fromArrays({ x: SCORES, y: oneHot })
    expect((await evaluate(soft, { metrics: ['accuracy'] })).accuracy).toBe(2 / 5)
    const labels = fj.tensor(Int32Array.of(0, 1, 1, 1), { shape: [2, 2] })
    const scores = fj.tensor([
      [
        [0.9, 0.2],
        [0.1, 0.8],
      ],
      [
        [0.6, 0.3],
        [0.4, 0.7],
      ],
    ]) // (N, C, d): 0 and 1; 0 and 1
    const { correct } = fj.metrics.accuracy().sums(scores, labels)
    expect(await correct!.item()).toBe(2 * 0.75)
  })

  it('binary accuracy of probabilities and of logits', async () => {
    const y = Int32Array.of(1, 0, 1, 0, 1)
    const probabilities = fj.data.fromArrays({ x: [0.9, 0.2, 0.4, 0.6, 0.51], y: [...y], shape: [], targetShape: [] })
    const options = { loss: 'binaryCrossEntropy', metrics: ['accuracy', 'binaryAccuracy'] }
    expect(await evaluate(probabilities, options)).toMatchObject({ accuracy: 3 / 5, binaryAccuracy: 3 / 5 })
    const logits = fj.data.fromArrays({ x: [2, -1, -0.3, 0.4, 0.1], y: [...y], shape: [1], targetShape: [1] })
    const withLogits = { loss: 'binaryCrossEntropyWithLogits', metrics: ['accuracy', 'binaryAccuracy'] }
    // 0.1 and 0.4 are above 0, but not above 0.5.
    expect(await evaluate(logits, withLogits)).toMatchObject({ accuracy: 3 / 5, binaryAccuracy: 3 / 5 })
    const strict = { ...withLogits, metrics: [fj.metrics.binaryAccuracy({ threshold: 0.05 })] }
    expect((await evaluate(logits, strict)).binaryAccuracy).toBe(3 / 5)
    const high = { ...withLogits, metrics: [fj.metrics.binaryAccuracy({ threshold: 0.3 })] }
    expect((await evaluate(logits, high)).binaryAccuracy).toBe(2 / 5)
  })

  it('squared and absolute errors and R², over samples of several outputs', async () => {
    const one = fj.data.fromArrays({ x: [2.5, 0, 2, 8], y: [3, -0.5, 2, 7], shape: [1], targetShape: [1] })
    const metrics = ['mse', 'mae', 'r2'] as const
    const options = { loss: 'mseLoss', metrics }
    const first = await evaluate(one, options)
    expect(first.loss).toBeCloseTo(0.375, 6)
    expect(first.mse).toBeCloseTo(0.375, 6)
    expect(first.mae).toBeCloseTo(0.5, 6)
    expect(first.r2).toBeCloseTo(1 - 1.5 / 29.1875, 6)
    const x = [
      [0, 2],
      [-1, 2],
      [8, -5],
    ]
    const y = [
      [0.5, 1],
      [-1, 1],
      [7, -6],
    ]
    const two = await evaluate(fj.data.fromArrays({ x, y }), options)
    // By output: residuals 1.25 and 3, squares around the mean 217/6 and 98/3.
    expect(two.r2).toBeCloseTo(1 - ((1.25 * 6) / 217 + (3 * 3) / 98) / 2, 6)
    expect(two.mse).toBeCloseTo((0.25 + 1 + 0 + 1 + 1 + 1) / 6, 6)
    expect(two.mae).toBeCloseTo(4.5 / 6, 6)
  })

  it('R² of targets far from zero', async () => {
    const y = Float32Array.from({ length: 101 }, (_, i) => 2000 + ((i * 37) % 101) / 10)
    const x = y.map((value, i) => value + (i % 2 ? 0.5 : -0.5))
    const { r2 } = await evaluate(fj.data.fromArrays({ x, y, shape: [1], targetShape: [1] }), {
      loss: 'mseLoss',
      metrics: ['r2'],
      batchSize: 10,
    })
    const variance = (101 ** 2 - 1) / 12 / 100
    expect(r2).toBeCloseTo(1 - 0.25 / variance, 2)
  })

  it('functions and own metrics, under their names, in training and validation', async () => {
    const largest = (output: fj.Tensor) => fj.max(output)
    const errors: fj.Metric = {
      name: 'errors',
      sums: (output, target) => ({
        wrong: fj.sum(fj.cast(fj.notEqual(fj.argMax(output, { axis: 1 }), target), 'float32')),
      }),
      value: ({ wrong }) => wrong![0]!,
    }
    const scores = await evaluate(classified, { metrics: [largest, errors] })
    expect(scores.errors).toBe(3)
    expect(scores.largest).toBeCloseTo((2 * 0.9 + 2 * 0.6 + 0.6) / 5, 6)
    const model = new fj.nn.Sequential(new fj.nn.Linear(4, 4))
    const history = await fj.fit(model, classified, {
      optimizer: new fj.optim.SGD(model.parameters(), { lr: 0.1 }),
      metrics: ['accuracy', 'top2Accuracy', errors],
      validation: classified,
      epochs: 2,
      verbose: 0,
      device,
    })
    expect(Object.keys(history.epochs[0]!)).toEqual(
      'epoch loss accuracy top2Accuracy errors valLoss valAccuracy valTop2Accuracy valErrors lr seconds samplesPerSecond'.split(
        ' ',
      ),
    )
    expect(history.values('valErrors')).toHaveLength(2)
    expect(history.values('errors')[0]).toBe(Math.round(5 * (1 - history.accuracy[0]!)))
  })
})

it('refuses unknown, doubled and unnamed metrics, and outputs that do not fit', async () => {
  const evaluate = (metrics: unknown[], data = classified) =>
    fj.evaluateModel(echo, data, { metrics: metrics as never, loss: data === classified ? 'crossEntropy' : 'mseLoss' })
  await expect(evaluate(['f1'])).rejects.toThrow(
    /evaluateModel: unknown metric 'f1'; expected one of accuracy, top<k>Accuracy, binaryAccuracy, mse, mae, r2, a function/,
  )
  await expect(evaluate(['top0Accuracy'])).rejects.toThrow(/unknown metric 'top0Accuracy'/)
  await expect(evaluate(['accuracy', fj.metrics.accuracy()])).rejects.toThrow(/two metrics called 'accuracy'/)
  await expect(evaluate([() => fj.tensor(1)])).rejects.toThrow(/a metric that is a function needs a name/)
  const loss = (x: fj.Tensor) => fj.mean(x)
  await expect(evaluate([loss])).rejects.toThrow(/a metric cannot be called 'loss'/)
  const rows = (x: fj.Tensor) => fj.sum(x, { axes: [1] })
  await expect(evaluate([rows])).rejects.toThrow(/the metric 'rows' gives \(5,\); expected a scalar/)
  await expect(evaluate(['top5Accuracy'])).rejects.toThrow(/top5Accuracy: the output \(5, 4\) has 4 classes/)
  await expect(evaluate(['mse'])).rejects.toThrow(/mse needs as many targets as outputs, got \(5, 4\) and int32 \(5,\)/)
  const regression = fj.data.fromArrays({ x: [[1, 2]], y: [[1, 2, 3]] })
  await expect(fj.evaluateModel(echo, regression, { loss: (x) => fj.mean(x), metrics: ['accuracy'] })).rejects.toThrow(
    /accuracy needs scores \(N, classes, \.\.\) and int32 labels \(N, \.\.\), got \(1, 2\) and float32 \(1, 3\)/,
  )
})

describe('confusionMatrix', () => {
  it('counts, and gives accuracy, recall and precision', () => {
    const matrix = fj.metrics.confusionMatrix([2, 0, 2, 2, 0, 1], Int32Array.of(0, 0, 2, 2, 0, 2))
    expect(matrix.counts).toEqual([
      [2, 0, 0],
      [0, 0, 1],
      [1, 0, 2],
    ])
    expect(matrix.accuracy).toBe(4 / 6)
    expect(matrix.recall).toEqual([1, 0, 2 / 3])
    expect(matrix.precision).toEqual([2 / 3, Number.NaN, 2 / 3])
  })

  it('draws a cell and a number a pair', async () => {
    const names = ['cat', 'dog']
    const svg = await fj.metrics.confusionMatrix([0, 1, 1], [0, 1, 0], { classNames: names }).chart('Pets').svg()
    for (const text of ['Pets', 'cat', 'dog', 'predicted', 'true']) expect(svg).toContain(`>${text}</text>`)
    expect(svg.match(/aria-roledescription="rect mark"/g)).toHaveLength(4)
  })

  it('names what is no class', () => {
    expect(() => fj.metrics.confusionMatrix([0], fj.zeros([1]) as never)).toThrow(
      'confusionMatrix: predictions must be an array, got Tensor',
    )
    expect(() => fj.metrics.confusionMatrix([0], [0, 1])).toThrow('1 labels and 2 predictions')
    expect(() => fj.metrics.confusionMatrix([0, 3], [0, 1], { classes: 2 })).toThrow(
      'label 1 is 3; expected an integer from 0 to 1',
    )
    expect(() => fj.metrics.confusionMatrix([0], [0.5])).toThrow('prediction 0 is 0.5')
    expect(() => fj.metrics.confusionMatrix([0], [0], { classes: 2, classNames: ['a'] })).toThrow('1 classNames for 2')
  })
})
