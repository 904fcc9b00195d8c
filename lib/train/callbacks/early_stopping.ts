import { ForjaError } from '../../errors.js'
import { checkOptions } from '../../options.js'
import type { Tensor } from '../../tensor.js'
import { variablesOf } from '../model.js'
import type { Callback, TrainingContext } from './callback.js'
import { MONITOR, Monitor, type MonitorOptions } from './monitor.js'

export interface EarlyStoppingOptions extends MonitorOptions {
  /** Epochs without improvement before training ends. Default 0: at the first one. */
  patience?: number
  /** What the figure has to be better than, or the epoch counts as one without improvement. */
  baseline?: number
  /** Give the model the weights of its best epoch at the end. Default false. */
  restoreBestWeights?: boolean
  /** Epochs in the beginning that are not judged. Default 0. */
  startFromEpoch?: number
}

interface Best {
  value: number
  epoch: number
  /** Parameters and buffers, where they are to be given back. */
  weights: Tensor[]
}

interface EarlyStoppingState {
  monitor: string
  wait: number
  best?: Best
}

const KNOWN = ['patience', 'baseline', 'restoreBestWeights', 'startFromEpoch', ...MONITOR] as const

/** Ends training when a figure no longer improves. */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  checkOptions('earlyStopping', options, KNOWN)
  const { patience = 0, baseline, restoreBestWeights = false, startFromEpoch = 0 } = options
  const monitor = new Monitor('earlyStopping', options)
  let best: Best | undefined
  let wait = 0
  const judge = (context: TrainingContext) => {
    if (wait === 0 || wait < patience) return
    const kept = restoreBestWeights && best !== undefined ? ', weights restored' : ''
    const found =
      best === undefined ? 'never a number' : `best ${best.value.toPrecision(4)} at epoch ${best.epoch}${kept}`
    context.stop(`${monitor.name} did not improve for ${wait} epoch${wait === 1 ? '' : 's'} (${found})`)
  }
  return {
    name: 'earlyStopping',
    stateDict: (): EarlyStoppingState => ({ monitor: monitor.name, wait, ...(best && { best }) }),
    loadStateDict(state: EarlyStoppingState, context) {
      monitor.checkSame(state.monitor)
      if (restoreBestWeights && state.best !== undefined && state.best.weights.length === 0) {
        throw new ForjaError('ERR_ARGUMENT', 'earlyStopping: the checkpoint holds no best weights to restore', {
          hint: 'it was written without restoreBestWeights; go on without it, as training began',
        })
      }
      ;({ wait, best } = state)
      judge(context)
    },
    onTrainBegin(context) {
      monitor.mode(context)
      best = undefined
      wait = 0
    },
    async onEpochEnd(logs, context) {
      if (logs.epoch <= startFromEpoch) return
      const value = monitor.read(logs)
      wait++
      if (monitor.improves(value, best?.value, context)) {
        const weights = restoreBestWeights ? variablesOf(context.model).map(([, variable]) => variable.snapshot()) : []
        best = { value, epoch: logs.epoch, weights: await Promise.all(weights) }
        if (baseline === undefined || monitor.improves(value, baseline, context)) wait = 0
      }
      judge(context)
    },
    async onTrainEnd({ model }) {
      if (!restoreBestWeights || best === undefined) return
      for (const [i, [, variable]] of variablesOf(model).entries()) await variable.assign(best.weights[i]!)
    },
  }
}
