// An LSTM reads a digit as a sequence: 28 rows of 28 pixels, one row a step. When does it know which digit it is?
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 1000, test: 200, seed: 1 })
  : await fj.data.mnist()

// (N, 1, 28, 28) → (N, 28 steps, 28 numbers) → the state behind the last row, 128 numbers → 10
const model = fj.models.lstmClassifier()
console.log(String(model.summary({ input: [1, 28, 28] })))

const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.003 })
await fj.fit(model, train, {
  epochs: quick ? 2 : 5,
  batchSize: quick ? 32 : 128,
  optimizer,
  schedule: new fj.schedule.ExponentialLR(optimizer, { gamma: 0.6 }),
  validation: test,
  metrics: ['accuracy'],
  seed: 1,
})

// The same network asked after every row: the linear layer reads the state of every step, not only the last.
const correctByRow = fj.compile((images: fj.Tensor, labels: fj.Tensor) => {
  const n = images.shape[0]!
  const { y } = model.rnn.forward(images.reshape([n, 28, 28]))
  const answers = model.fc.forward(y).argMax({ axis: 2 })
  return fj.sum(fj.cast(fj.equal(answers, labels.unsqueeze({ axis: 1 })), 'float32'), { axes: [0] })
})
const correct = new Array<number>(28).fill(0)
for await (const { x, xShape, y } of test.batches({ batchSize: 100 })) {
  const counts = await (await correctByRow(fj.tensor(x, { shape: xShape }), fj.tensor(y))).data()
  for (let row = 0; row < 28; row++) correct[row]! += counts[row]!
}
const byRow = correct.map((count, row): [number, number] => [row + 1, count / test.length])
await draw(
  'lstm-rows',
  fj.plot.lines({ title: 'When does it know?', x: 'rows read', y: 'test accuracy', series: { accuracy: byRow } }),
)

const { accuracy } = await fj.evaluateModel(model, test, { loss: 'crossEntropy', metrics: ['accuracy'] })
const half = byRow.find(([, share]) => share > accuracy! / 2)![0]
console.log(`Half of its answers are right after ${half} of 28 rows`)
finish(`Test accuracy ${(100 * accuracy!).toFixed(2)} %`)
