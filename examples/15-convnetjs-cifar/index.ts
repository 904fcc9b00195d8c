// CIFAR-10 with the network of the ConvNetJS page: three small convolutions, here trained by the native core.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticShapes({ train: 200, test: 100, seed: 1 })
  : await fj.data.cifar10()
console.log(`${train.length.toLocaleString('en')} images of ${train.classNames!.join(', ')}`)

// 3×32×32 → 16×32×32 → 16×16×16 → 20×16×16 → 20×8×8 → 20×8×8 → 20×4×4 → 10
const model = fj.models.convnetjsCifar()
console.log(String(model.summary({ input: [3, 32, 32] })))

// A mirrored horse is a horse, and so is one two pixels to the left: every epoch sees other pictures.
const changed = fj.data.augment(train, { flip: true, crop: 2 })

const epochs = quick ? 2 : 16
const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.002 })
const history = await fj.fit(model, changed, {
  epochs,
  batchSize: 64,
  optimizer,
  schedule: new fj.schedule.CosineAnnealingLR(optimizer, { tMax: epochs }),
  validation: test,
  metrics: ['accuracy'],
  seed: 1,
})

await draw(
  'convnetjs-cifar',
  fj.plot.lines({
    title: 'Three convolutions 5×5 on CIFAR-10',
    x: 'epoch',
    y: 'accuracy',
    series: { training: history.accuracy, test: history.valAccuracy },
  }),
)
const images = train.length * epochs
const seconds = history.epochs.reduce((sum, epoch) => sum + epoch.seconds, 0)
console.log(`${Math.round(images / seconds).toLocaleString('en')} images learnt from a second`)
const { accuracy } = await fj.evaluateModel(model, test, { loss: 'crossEntropy', metrics: ['accuracy'] })
finish(`Test accuracy ${(100 * accuracy!).toFixed(2)} %`)
