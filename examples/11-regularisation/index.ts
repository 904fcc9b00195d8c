// Too large a network, too few samples: what L1, L2, dropout and stopping in time do about it.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const digits = await fj.data.syntheticDigits({ train: quick ? 100 : 500, test: quick ? 200 : 1000, seed: 1 })
const EPOCHS = quick ? 2 : 50
const { test } = digits
// Every fourth label is wrong: a network can only get these right by learning them by heart.
const train = fj.data.fromArrays({
  x: digits.train.x,
  y: Int32Array.from(digits.train.y, (label, i) => (i % 4 === 0 ? (label + 1 + (i % 9)) % 10 : label)),
  shape: [1, 28, 28],
  classes: 10,
  normalization: digits.train.fields[0].normalization,
})

/** 784 → 256 → 10: 203,530 weights for 500 samples. */
function network(dropout: number): fj.nn.Sequential {
  fj.setSeed(1)
  return new fj.nn.Sequential(
    new fj.nn.Flatten(),
    new fj.nn.Linear(784, 256),
    new fj.nn.ReLU(),
    new fj.nn.Dropout(dropout),
    new fj.nn.Linear(256, 10),
  )
}

interface Run {
  /** What is added to the cross entropy, of the weight matrices. */
  penalty?: (weights: fj.Variable[]) => fj.Tensor
  dropout?: number
  stopEarly?: boolean
}

const RUNS: Record<string, Run> = {
  nothing: {},
  'L1: 0.003 Σ|w|': { penalty: (weights) => fj.l1Penalty(weights, 0.003) },
  'L2: 0.01 Σw²': { penalty: (weights) => fj.l2Penalty(weights, 0.01) },
  'dropout 0.5': { dropout: 0.5 },
  'early stopping': { stopEarly: true },
}

/** The loss without penalty, so that all runs can be compared. */
const error = (scores: fj.Tensor, labels: fj.Tensor) => fj.crossEntropy(scores, labels)

const histories: Record<string, fj.History> = {}
console.log('                   train    test  epochs  |w| < 0.001     Σw²')
for (const [name, { penalty, dropout = 0, stopEarly = false }] of Object.entries(RUNS)) {
  const model = network(dropout)
  const weights = model.parameters().filter((p) => p.rank === 2) // biases are not punished
  const history = await fj.fit(model, train, {
    loss: (scores, labels) => {
      const loss = error(scores, labels)
      return penalty ? fj.add(loss, penalty(weights)) : loss
    },
    metrics: ['accuracy', error],
    optimizer: new fj.optim.Adam(model.parameters(), { lr: 0.001 }),
    epochs: EPOCHS,
    batchSize: 32,
    validation: test,
    callbacks: stopEarly
      ? [fj.callbacks.earlyStopping({ monitor: 'valError', patience: 5, restoreBestWeights: true })]
      : [],
    seed: 1,
    verbose: 0,
  })
  histories[name] = history

  const scores = { metrics: ['accuracy'] as const }
  const [{ accuracy: seen }, { accuracy: unseen }] = [
    await fj.evaluateModel(model, train, scores),
    await fj.evaluateModel(model, test, scores),
  ]
  const all = fj.concat(weights.map((w) => w.flatten({ startAxis: 0 })))
  const small = await fj.mean(fj.cast(fj.less(fj.abs(all), 0.001), 'float32')).item()
  const squares = await fj.sum(fj.square(all)).item()
  console.log(
    [
      name.padEnd(16),
      `${(100 * seen!).toFixed(1)} %`.padStart(8),
      `${(100 * unseen!).toFixed(1)} %`.padStart(7),
      String(history.epochs.length).padStart(7),
      `${(100 * small).toFixed(1)} %`.padStart(11),
      squares.toFixed(1).padStart(8),
    ].join(''),
  )
}

const curves = (name: string) => Object.fromEntries(Object.entries(histories).map(([run, h]) => [run, h.values(name)]))
await draw(
  'regularisation',
  fj.plot.sideBySide(
    [
      fj.plot.lines({
        title: 'Training samples',
        x: 'epoch',
        y: 'cross entropy',
        series: curves('error'),
        dots: false,
      }),
      fj.plot.lines({ title: 'Test samples', x: 'epoch', y: 'cross entropy', series: curves('valError'), dots: false }),
    ],
    { sharedLegend: true },
  ),
)
const last = (run: string) => histories[run]!.values('valError').at(-1)!.toFixed(3)
const best = Math.min(...histories.nothing!.values('valError')).toFixed(3)
finish(
  `Test loss without a remedy: ${best} at its best, ${last('nothing')} in the end; with dropout ${last('dropout 0.5')}`,
)
