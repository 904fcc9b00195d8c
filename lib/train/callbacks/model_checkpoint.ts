import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ForjaError } from '../../errors.js'
import { save } from '../../io/model.js'
import { Module } from '../../nn/module.js'
import type { EpochLogs } from '../history.js'
import type { BatchLogs, Callback, TrainingContext } from './callback.js'
import { Monitor, type MonitorOptions } from './monitor.js'

export interface ModelCheckpointOptions extends Omit<MonitorOptions, 'minDelta'> {
  /**
   * A .safetensors file; names of the logs in braces are filled in, numbers formatted as in Python:
   * 'net-{epoch:02d}-{valLoss:.3f}.safetensors'. Its folder is made.
   */
  filepath: string
  /** Only when the monitored figure is better than ever. Default false: every time. */
  saveBestOnly?: boolean
  /** The network only, for load(). Default false: all that fit({ resume }) needs. */
  saveWeightsOnly?: boolean
  /** 'epoch' (default), or after every so many batches. */
  saveFreq?: 'epoch' | number
  /** What the first figure must be better than. */
  initialValueThreshold?: number
}

/** Saves network and training state after every epoch. Put it behind callbacks that change the learning rate. */
export function modelCheckpoint(options: ModelCheckpointOptions): Callback {
  const { filepath, saveBestOnly = false, saveWeightsOnly = false, saveFreq = 'epoch', initialValueThreshold } = options
  if (typeof filepath !== 'string' || filepath === '') {
    throw new ForjaError('ERR_ARGUMENT', `modelCheckpoint: filepath ${String(filepath)}; expected the path of a file`)
  }
  if (saveFreq !== 'epoch' && (saveBestOnly || !Number.isInteger(saveFreq) || saveFreq < 1)) {
    const why = saveBestOnly ? 'saveBestOnly needs the figures of an epoch' : "expected 'epoch' or an integer from 1"
    throw new ForjaError('ERR_ARGUMENT', `modelCheckpoint: saveFreq ${String(saveFreq)}; ${why}`)
  }
  const monitor = new Monitor('modelCheckpoint', options)
  let best = initialValueThreshold
  const write = async (logs: EpochLogs | BatchLogs, context: TrainingContext) => {
    const path = fileName(filepath, logs)
    await mkdir(dirname(path), { recursive: true })
    if (saveWeightsOnly) await save(context.model as Module, path)
    else await context.saveCheckpoint(path)
  }
  const due = (step: number) => saveFreq !== 'epoch' && step % saveFreq === 0
  return {
    onTrainBegin(context) {
      if (!(context.model instanceof Module)) {
        throw new ForjaError('ERR_ARGUMENT', 'modelCheckpoint: the model must be a Module, whose parameters have names')
      }
      if (saveBestOnly) monitor.mode(context)
      best = initialValueThreshold
    },
    waitsAt: due,
    async onBatchEnd(logs, context) {
      if (due(logs.step)) await write(logs, context)
    },
    async onEpochEnd(logs, context) {
      if (saveFreq !== 'epoch') return
      if (saveBestOnly) {
        const value = monitor.read(logs)
        if (!monitor.improves(value, best, context)) return
        best = value
      }
      await write(logs, context)
    },
  }
}

/** {name}, {name:03d}, {name:.4f} */
function fileName(template: string, logs: EpochLogs | BatchLogs): string {
  return template.replace(/\{(\w+)(?::(0?)(\d*)(?:d|\.(\d+)f))?\}/g, (field, name, zero, width, digits) => {
    const value = Object.hasOwn(logs, name) ? logs[name] : undefined
    if (value === undefined) {
      throw new ForjaError('ERR_ARGUMENT', `modelCheckpoint: ${field} names no figure of the logs`, {
        hint: `there are ${Object.keys(logs).join(', ')}`,
      })
    }
    const text = digits === undefined ? String(value) : value.toFixed(Number(digits))
    return text.padStart(Number(width || 0), zero === '0' ? '0' : ' ')
  })
}
