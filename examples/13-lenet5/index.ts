// LeNet-5 on handwritten digits: two convolutions that look for strokes, three linear layers that decide.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 2000, test: 500, seed: 1 })
  : await fj.data.mnist()

// 1×28×28 → 6×28×28 → 6×14×14 → 16×10×10 → 16×5×5 → 120 → 84 → 10
const model = fj.models.lenet5()
console.log(String(model.summary({ input: [1, 28, 28] })))

const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
const history = await fj.fit(model, train, {
  epochs: quick ? 2 : 12,
  batchSize: 64,
  optimizer,
  // The rate halves every second epoch: large steps first, fine ones later.
  schedule: new fj.schedule.StepLR(optimizer, { stepSize: 2, gamma: 0.5 }),
  validation: test,
  metrics: ['accuracy'],
  seed: 1,
})

await draw(
  'lenet5',
  fj.plot.lines({
    title: 'LeNet-5',
    x: 'epoch',
    y: 'accuracy',
    series: { training: history.accuracy, test: history.valAccuracy },
  }),
)
const { accuracy } = await fj.evaluateModel(model, test, { loss: 'crossEntropy', metrics: ['accuracy'] })
finish(`Test accuracy ${(100 * accuracy!).toFixed(2)} %`)
