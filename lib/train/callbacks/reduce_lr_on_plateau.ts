import { ReduceLROnPlateau } from '../../optim/schedule.js'
import { checkOptions } from '../../options.js'
import type { Callback } from './callback.js'
import { MONITOR, Monitor, type MonitorOptions } from './monitor.js'

export interface ReduceLROnPlateauCallbackOptions extends MonitorOptions {
  /** What the rate is multiplied by. Default 0.1. */
  factor?: number
  /** Epochs without improvement before the rate falls. Default 10. */
  patience?: number
  /** Default 1e-4. */
  minDelta?: number
  /** Epochs after a fall in which nothing is counted. Default 0. */
  cooldown?: number
  /** Default 0. */
  minLr?: number
}

/** Lowers the learning rate when a figure no longer improves. */
export function reduceLROnPlateau(options: ReduceLROnPlateauCallbackOptions = {}): Callback {
  checkOptions('reduceLROnPlateau', options, ['factor', 'patience', 'cooldown', 'minLr', ...MONITOR])
  const { factor = 0.1, patience = 10, minDelta = 1e-4, cooldown = 0, minLr = 0 } = options
  const monitor = new Monitor('reduceLROnPlateau', options)
  let schedule: ReduceLROnPlateau
  return {
    name: 'reduceLROnPlateau',
    stateDict: () => ({ monitor: monitor.name, ...schedule.stateDict() }),
    loadStateDict(state: { monitor: string } & ReturnType<ReduceLROnPlateau['stateDict']>) {
      monitor.checkSame(state.monitor)
      schedule.loadStateDict(state)
    },
    onTrainBegin(context) {
      schedule = new ReduceLROnPlateau(context.optimizer, {
        mode: monitor.mode(context),
        factor,
        // The schedule, as PyTorch's, lets so many epochs pass and acts at the next one; Keras's callback acts at the last.
        patience: Math.max(patience - 1, 0),
        threshold: minDelta,
        thresholdMode: 'abs',
        cooldown,
        minLr,
      })
    },
    onEpochEnd(logs) {
      schedule.step(monitor.read(logs))
    },
  }
}
