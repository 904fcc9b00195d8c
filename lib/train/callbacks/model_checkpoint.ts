import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describeGiven, ForjaError } from '../../errors.js'
import { save } from '../../io/model.js'
import { Module } from '../../nn/module.js'
import { checkOptions } from '../../options.js'
import type { EpochLogs } from '../history.js'
import type { BatchLogs, Callback } from './callback.js'
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

interface ModelCheckpointState {
  monitor: string
  best?: number | undefined
}

const KNOWN = [
  'filepath',
  'saveBestOnly',
  'saveWeightsOnly',
  'saveFreq',
  'initialValueThreshold',
  'monitor',
  'mode',
] as const

/** Saves network and training state after every epoch, when all callbacks have seen it. */
export function modelCheckpoint(options: ModelCheckpointOptions): Callback {
  checkOptions('modelCheckpoint', options, KNOWN)
  const { filepath, saveBestOnly = false, saveWeightsOnly = false, saveFreq = 'epoch', initialValueThreshold } = options
  if (typeof filepath !== 'string' || filepath === '') {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `modelCheckpoint: filepath ${describeGiven(filepath)}; expected the path of a file`,
    )
  }
  if (saveFreq !== 'epoch' && (saveBestOnly || !Number.isInteger(saveFreq) || saveFreq < 1)) {
    const why = saveBestOnly ? 'saveBestOnly needs the figures of an epoch' : "expected 'epoch' or an integer from 1"
    throw new ForjaError('ERR_ARGUMENT', `modelCheckpoint: saveFreq ${describeGiven(saveFreq)}; ${why}`)
  }
  const monitor = new Monitor('modelCheckpoint', options)
  let best = initialValueThreshold
  /** To be written when all callbacks have seen the batch or epoch. */
  let next: string | undefined
  const due = (step: number) => saveFreq !== 'epoch' && step % saveFreq === 0
  return {
    name: 'modelCheckpoint',
    ...(saveBestOnly && {
      stateDict: (): ModelCheckpointState => ({ monitor: monitor.name, best }),
      loadStateDict(state: ModelCheckpointState) {
        monitor.checkSame(state.monitor)
        best = state.best
      },
    }),
    onTrainBegin(context) {
      if (!(context.model instanceof Module)) {
        throw new ForjaError('ERR_ARGUMENT', 'modelCheckpoint: the model must be a Module, whose parameters have names')
      }
      if (saveBestOnly) monitor.mode(context)
      best = initialValueThreshold
      next = undefined
    },
    waitsAt: due,
    onBatchEnd(logs) {
      if (due(logs.step)) next = fileName(filepath, logs)
    },
    onEpochEnd(logs, context) {
      if (saveFreq !== 'epoch') return
      if (saveBestOnly) {
        const value = monitor.read(logs)
        if (!monitor.improves(value, best, context)) return
        best = value
      }
      next = fileName(filepath, logs)
    },
    async onSave(context) {
      if (next === undefined) return
      const path = next
      next = undefined
      await mkdir(dirname(path), { recursive: true })
      if (saveWeightsOnly) await save(context.model as Module, path)
      else await context.saveCheckpoint(path)
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
