// ResNet-20 on CIFAR-10 as in the paper, in a fourteenth of its updates: one long run that may be interrupted.
import { join } from 'node:path'
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticShapes({ train: 64, test: 64, seed: 1 })
  : await fj.data.cifar10()
console.log(`${train.length.toLocaleString('en')} images of ${train.classNames!.join(', ')}`)

const model = fj.models.resnet20Cifar()
console.log(
  String(
    model
      .summary({ input: [3, 32, 32] })
      .toString()
      .split('\n')
      .at(-1),
  ),
)

// He and others: 4 pixels of zeros around, a window of 32×32 from anywhere in it, every other image mirrored.
const changed = fj.data.augment(train, { crop: 4, flip: true })

const name = quick ? 'resnet-cifar-quick' : 'resnet-cifar'
const [epochs, batchSize] = quick ? [1, 32] : [12, 128]
const steps = Math.ceil(train.length / batchSize)
const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 5e-4 })
const history = await fj.fit(model, changed, {
  epochs,
  batchSize,
  optimizer,
  // Up to a rate that could not stay so high, then down to none: 12 epochs go most of the way of 160.
  schedule: new fj.schedule.OneCycleLR(optimizer, { maxLr: 0.3, totalSteps: epochs * steps, pctStart: 0.25 }),
  scheduleEvery: 'batch',
  validation: test,
  metrics: ['accuracy'],
  callbacks: [
    // fit({ resume: path }) goes on from here after an interruption, bit for bit.
    fj.callbacks.modelCheckpoint({ filepath: join(import.meta.dirname, '../out', `${name}.safetensors`) }),
  ],
  seed: 1,
})

await draw(
  'resnet-cifar',
  fj.plot.lines({
    title: 'ResNet-20 on CIFAR-10',
    x: 'epoch',
    y: 'accuracy',
    series: { training: history.accuracy, test: history.valAccuracy },
  }),
)
const labels: number[] = []
const answers: number[] = []
for await (const { x, xShape, y } of test.batches({ batchSize: 500 })) {
  const logits = await fj.predict(model, fj.tensor(x, { shape: xShape }))
  answers.push(...(await fj.argMax(logits, { axis: 1 }).data()))
  labels.push(...y)
}
const matrix = fj.metrics.confusionMatrix(labels, answers, { classNames: train.classNames! })
await draw('resnet-cifar-confusion', matrix.chart('What is taken for what'))
finish(`Test accuracy ${(100 * matrix.accuracy).toFixed(2)} % after ${epochs} epochs`)
