/** How long a network trains until it knows MNIST: seconds of training, whole epochs, on each device in turn. */
import { ForjaError } from '../errors.js'
import * as fj from '../index.js'
import type { Row } from './row.js'
import { attempt, dtypeOn, type SuiteContext } from './suite.js'

const MODELS = ['mlp', 'lenet5']
const BATCH = 128
const GOAL = 0.98
const MOST_EPOCHS = 20

/** A row a device of each network; what is missing of the data is said instead. `locate` gives the data, or why not. */
export async function accuracySuite(context: SuiteContext, locate = locateMnist): Promise<void> {
  for (const model of MODELS) {
    const name = `${model} b${BATCH} to ${100 * GOAL} % on MNIST`
    await attempt(context, name, async () => {
      const data = await locate()
      if (typeof data === 'string') return context.say(`${name}: not measured (${data})`)
      let base: Row | undefined
      for (const device of context.devices) {
        const row = await learn(context, device, model, name, data)
        const ratio = base && base.p50Ms / row.p50Ms
        await context.report(
          ratio ? { ...row, ratios: { [base!.device]: { median: ratio, min: ratio, max: ratio } } } : row,
        )
        base ??= row
      }
    })
  }
}

/** The data set, or why it is not here; nothing is downloaded. */
async function locateMnist(): Promise<fj.data.Splits | string> {
  try {
    return await fj.data.mnist({ offline: true })
  } catch (error) {
    if (error instanceof ForjaError) return error.message.split('\n')[0]!
    throw error
  }
}

async function learn(
  context: SuiteContext,
  device: string,
  architecture: string,
  name: string,
  { train, test }: fj.data.Splits,
): Promise<Row> {
  fj.setSeed(1)
  const model = fj.models.create(architecture)
  const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.001 })
  try {
    const precision = dtypeOn(context, device)
    const { epochs } = await fj.fit(model, train, {
      optimizer,
      device,
      precision,
      epochs: MOST_EPOCHS,
      batchSize: BATCH,
      validation: test,
      metrics: ['accuracy'],
      seed: 1,
      verbose: 0,
      callbacks: [
        {
          onEpochEnd: ({ valAccuracy }, training) => {
            if (valAccuracy! >= GOAL) training.stop('it is as good as it was to become')
          },
        },
      ],
    })
    const accuracy = epochs.at(-1)!.valAccuracy!
    if (accuracy < GOAL) {
      const percent = (100 * accuracy).toFixed(2)
      throw new ForjaError('ERR_INTERNAL', `${name}: ${percent} % on ${device} after ${MOST_EPOCHS} epochs`)
    }
    const seconds = epochs.reduce((sum, epoch) => sum + epoch.seconds, 0)
    return {
      suite: 'train',
      case: name,
      variant: 'forja',
      device,
      dtype: precision,
      p50Ms: seconds * 1000,
      minMs: seconds * 1000,
      calls: 1,
      throughput: (epochs.length * train.length) / seconds,
      epochs: epochs.length,
      accuracy,
      epochMs: 1000 * Math.min(...epochs.map((epoch) => epoch.seconds)),
      threads: context.threads,
    }
  } finally {
    optimizer.dispose()
    model.dispose()
  }
}
