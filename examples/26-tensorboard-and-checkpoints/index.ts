// A training run that can be watched in TensorBoard, is stopped in the middle of an epoch, and goes on bit for bit.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const { train, test } = await fj.data.syntheticDigits({ train: quick ? 300 : 3000, test: quick ? 100 : 500, seed: 1 })
const folder = join(import.meta.dirname, '../out/checkpoints')
rmSync(folder, { recursive: true, force: true })

/** 'auto' takes a GPU where there is one. 'cpu', 'cuda:0': nothing else changes. */
const device = 'auto'
const [cpu] = await fj.devices()
const EPOCHS = quick ? 2 : 4
const STEPS = Math.ceil(train.length / 32)

/** Everything that training needs, made anew as in another process. */
function begin() {
  fj.setSeed(1)
  const model = new fj.nn.Sequential(
    new fj.nn.Conv2d(1, 8, 5),
    new fj.nn.BatchNorm2d(8),
    new fj.nn.ReLU(),
    new fj.nn.MaxPool2d(4),
    new fj.nn.Flatten(),
    new fj.nn.Dropout(0.2),
    new fj.nn.Linear(288, 10),
  )
  const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.003 })
  const schedule = new fj.schedule.CosineAnnealingLR(optimizer, { tMax: EPOCHS })
  const fit = (more: Partial<fj.FitOptions>) =>
    fj.fit(model, train, {
      ...{ optimizer, schedule, device, epochs: EPOCHS, batchSize: 32, validation: test, seed: 1 },
      ...{ metrics: ['accuracy'] as const, ...more },
    })
  return { model, fit }
}

// 1. A whole run, written for TensorBoard.
const logDir = join(folder, 'logs')
const whole = begin()
const history = await whole.fit({
  callbacks: [fj.callbacks.tensorBoard({ logDir, histogramFreq: 1, updateFreq: 'batch' })],
})
const pictures = new fj.TensorBoardWriter(join(logDir, 'train'))
await pictures.addImage('digit', fj.tensor(train.get(0, { raw: true }).x, { shape: [1, 28, 28] }), 0)
await pictures.close()

// 2. The same run, broken off in the middle of the last epoch; its state is written every few batches.
const every = Math.floor(STEPS / 2)
const broken = begin()
await broken.fit({
  callbacks: [
    fj.callbacks.modelCheckpoint({ filepath: join(folder, 'run-{epoch}-{step}.safetensors'), saveFreq: every }),
    {
      onBatchEnd({ epoch, step }, { stop }) {
        if (epoch === EPOCHS && step > every) stop('someone pulled the plug')
      },
    },
  ],
  verbose: 0,
})

// 3. A new process would do this: make everything as before, and resume.
const resumed = begin()
const rest = await resumed.fit({ resume: join(folder, `run-${EPOCHS}-${every}.safetensors`) })

const [a, b] = [await whole.model.stateDict(), await resumed.model.stateDict()]
let different = 0
for (const key of Object.keys(a)) {
  different += await fj.sum(fj.cast(fj.notEqual(a[key]!, b[key]!), 'int32')).item()
}
console.log(`Files: ${readdirSync(folder).join(', ')}`)
console.log(`Curves: tensorboard --logdir ${logDir}`)
await draw('checkpoints', history.chart('The whole run'))
finish(
  `On ${cpu!.name}: resumed at batch ${every} of epoch ${EPOCHS}, loss ${rest.loss.at(-1)} = ${history.loss.at(-1)}, ` +
    `${different} weights differ`,
)
if (different > 0) process.exitCode = 1
