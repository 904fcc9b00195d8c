/**
 * Everything that training steps change, kept on the host for a while: to go back to where an epoch began, or to leave
 * a network as it was found.
 */
import type { Optimizer } from '../optim/optimizer.js'
import type { Device } from '../runtime/device.js'
import { randomStateOf } from '../runtime/random_state.js'
import { byteSize } from '../shape.js'
import { type Trainable, variablesOf } from './model.js'

export interface Snapshot {
  /** Parameters, buffers, the optimizer with its learning rate and the random numbers are as they were. */
  restore(): Promise<void>
}

/** No step may be in flight. */
export async function takeSnapshot(model: Trainable, optimizer: Optimizer, device: Device): Promise<Snapshot> {
  const states = [...new Set(variablesOf(model).map(([, variable]) => variable.state)), randomStateOf(device)]
  const [data, dict] = await Promise.all([Promise.all(states.map((state) => state.read())), optimizer.stateDict()])
  return {
    async restore() {
      await Promise.all(states.map((state, i) => state.write(data[i]!)))
      await optimizer.loadStateDict(dict)
    },
  }
}

/** Bytes of the model's variables: about a third, with Adam, of what a snapshot takes. */
export function bytesOf(model: Trainable): number {
  return variablesOf(model).reduce((total, [, variable]) => total + byteSize(variable), 0)
}
