import { join } from 'node:path'
import { zeros } from '../../create.js'
import { checkChoice, checkOptions } from '../../options.js'
import { TensorBoardWriter } from '../../tensorboard/writer.js'
import { scoresOf } from '../history.js'
import { inMode, variablesOf } from '../model.js'
import type { Scores } from '../objective.js'
import type { Callback, TrainingContext } from './callback.js'

export interface TensorBoardOptions {
  /** Default 'logs'. Training and validation are runs of their own inside, 'train' and 'validation'. */
  logDir?: string
  /** Epochs between two histograms of every parameter and buffer. Default 0: none. */
  histogramFreq?: number
  /** Default true. */
  writeGraph?: boolean
  /** When losses and metrics are written: after every 'epoch' (default), every 'batch' or so many batches too. */
  updateFreq?: 'epoch' | 'batch' | number
}

/** Writes event files: `tensorboard --logdir logs` shows curves, weights and the graph while training goes on. */
export function tensorBoard(options: TensorBoardOptions = {}): Callback {
  checkOptions('tensorBoard', options, ['logDir', 'histogramFreq', 'writeGraph', 'updateFreq'])
  const { logDir = 'logs', histogramFreq = 0, writeGraph = true, updateFreq = 'epoch' } = options
  if (typeof updateFreq !== 'number') checkChoice('tensorBoard', 'updateFreq', updateFreq, ['epoch', 'batch'])
  const every = updateFreq === 'epoch' ? Number.POSITIVE_INFINITY : updateFreq === 'batch' ? 1 : updateFreq
  let train: TensorBoardWriter
  let validation: TensorBoardWriter | undefined
  const write = async (writer: TensorBoardWriter, prefix: string, scores: Scores, step: number) => {
    for (const [name, value] of Object.entries(scores)) await writer.addScalar(`${prefix}_${name}`, value!, step)
  }
  return {
    async onTrainBegin(context) {
      train = new TensorBoardWriter(join(logDir, 'train'))
      validation = undefined
      if (writeGraph) await addGraph(train, context)
    },
    async onBatchEnd({ epoch, step, steps, ...scores }) {
      const count = (epoch - 1) * steps + step
      if (count % every === 0) await write(train, 'batch', scores, count)
    },
    async onEpochEnd(logs, { model }) {
      const { epoch, lr } = logs
      const scores = scoresOf(logs)
      await write(train, 'epoch', { ...scores.training, learning_rate: lr }, epoch)
      if (scores.validation) {
        validation ??= new TensorBoardWriter(join(logDir, 'validation'))
        await write(validation, 'epoch', scores.validation, epoch)
      }
      if (histogramFreq > 0 && epoch % histogramFreq === 0) {
        for (const [name, variable] of variablesOf(model)) {
          await train.addHistogram(name.replaceAll('.', '/'), variable, epoch)
        }
      }
    },
    async onTrainEnd() {
      await train.close()
      await validation?.close()
    },
  }
}

async function addGraph(writer: TensorBoardWriter, { model, dataset }: TrainingContext): Promise<void> {
  const { shape = [], dtype } = dataset.fields[0] ?? {}
  const sample = zeros([1, ...shape], { dtype: dtype === 'int32' ? 'int32' : 'float32' })
  await writer.addGraph(inMode(model, false, () => model.forward(sample)))
}
