// The smallest data set of handwriting: 1,797 digits of 8×8 pixels, 70 % to learn from and 30 % to be asked about.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 400, test: 200, seed: 1 })
  : await fj.data.digits({ test: 0.3 })
const [, height, width] = train.fields[0].shape as [number, number, number]
console.log(
  `${train.length.toLocaleString('en')} digits of ${height}×${width} to learn from, ${test.length} to be asked about`,
)

const model = fj.models.mlp({ inputs: height * width, hidden: [512] })
// Digits turned, slanted and stretched a little are the same digits: every epoch sees others.
const changed = fj.data.augment(train, { rotate: 12, scale: [0.9, 1.1], shear: 8, translate: 0.03 })
const optimizer = new fj.optim.AdamW(model.parameters(), { lr: 0.003, weightDecay: 0.001 })
const history = await fj.fit(model, changed, {
  epochs: quick ? 2 : 60,
  batchSize: 32,
  optimizer,
  schedule: new fj.schedule.CosineAnnealingLR(optimizer, { tMax: quick ? 2 : 60 }),
  validation: test,
  metrics: ['accuracy'],
  seed: 1,
  verbose: 0,
})
const curve = fj.plot.lines({
  title: 'Digits of 8×8 pixels',
  x: 'epoch',
  y: 'accuracy',
  series: { training: history.accuracy, test: history.valAccuracy },
})
await draw('digits', curve)

// Which ones does it get wrong? Draw them, with what it took them for.
const scores = await fj.predict(
  model,
  fj.tensor(test.gather(test.order()).x, { shape: [test.length, 1, height, width] }),
)
const answers = await fj.argMax(scores, { axis: 1 }).data()
const wrong = [...answers].map((_, i) => i).filter((i) => answers[i] !== test.y[i])
const shown = wrong.slice(0, 10)
const rows = (x: ArrayLike<number>) =>
  Array.from({ length: height }, (_, r) => Array.from({ length: width }, (_, c) => x[r * width + c]!))
await draw(
  'digits-wrong',
  fj.plot.images({
    title: 'Mistaken: what it is → what it was taken for',
    images: shown.map((i) => rows(test.get(i).x)),
    labels: shown.map((i) => `${test.y[i]} → ${answers[i]}`),
    columns: 5,
    scale: quick ? 2 : 8,
  }),
)
const accuracy = 1 - wrong.length / test.length
finish(`Test accuracy ${(100 * accuracy).toFixed(2)} %, ${wrong.length} of ${test.length} mistaken`)
