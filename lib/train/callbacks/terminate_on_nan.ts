import type { Callback } from './callback.js'

/** Ends training at a loss that is no finite number, where fit() would throw ERR_NAN_LOSS. The epoch is not recorded. */
export function terminateOnNaN(): Callback {
  return {
    onBatchEnd({ loss, epoch, step }, { stop }) {
      if (!Number.isFinite(loss)) stop(`the loss is ${loss} in epoch ${epoch}, step ${step}`)
    },
  }
}
