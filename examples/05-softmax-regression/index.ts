// Softmax regression on handwritten digits: one weighted sum a class, and the largest wins.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 500, test: 200, seed: 1 })
  : await fj.data.mnist()

// ŷ = softmax(W x + b): 784 · 10 weights and 10 biases.
const model = fj.models.softmaxRegression()
const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.001 })
const history = await fj.fit(model, train, {
  epochs: quick ? 2 : 8,
  batchSize: 128,
  optimizer,
  schedule: new fj.schedule.ExponentialLR(optimizer, { gamma: 0.8 }),
  validation: test,
  metrics: ['accuracy'],
  seed: 1,
})

// Row k of W has a number for every pixel: bright where ink speaks for the digit k, dark where it speaks against.
const weights = (await model.fc.weight.reshape([10, 28, 28]).array()) as number[][][]
await draw(
  'softmax-regression',
  fj.plot.images({
    title: 'What each class looks for',
    images: weights,
    labels: [...'0123456789'],
    columns: 5,
    scale: 4,
  }),
)
console.log(`Loss ${history.loss.map((loss) => loss.toFixed(3)).join(' → ')}`)
const { accuracy } = await fj.evaluateModel(model, test, { loss: 'crossEntropy', metrics: ['accuracy'] })
finish(`Test accuracy ${(100 * accuracy!).toFixed(2)} %`)
