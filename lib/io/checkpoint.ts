/**
 * Checkpoints: one .safetensors file that holds a network as save() writes it, so that load() reads it, and beside it
 * what training needs to go on as if it had never stopped: the optimizer's state (`__optimizer__.<name>`), the epochs
 * done and the state of the random numbers (metadata).
 */
import { readFile } from 'node:fs/promises'
import { fromData } from '../create.js'
import { ForjaError } from '../errors.js'
import type { AnyModule } from '../nn/module.js'
import type { Optimizer } from '../optim/optimizer.js'
import { resolveDevice } from '../runtime/device.js'
import { randomStateOf } from '../runtime/random_state.js'
import type { Tensor } from '../tensor.js'
import { load, OPTIMIZER_PREFIX, save } from './model.js'
import { decodeSafetensors } from './safetensors.js'

export interface Checkpoint {
  model: AnyModule
  optimizer: Optimizer
  /** The device that is trained on. Default 'auto'. */
  device?: string
}

export interface SaveCheckpointOptions extends Checkpoint {
  /** Complete epochs. */
  epoch: number
  /** Kept in the file. */
  metadata?: Readonly<Record<string, string>>
}

const EPOCH = 'forja.epoch'
const RANDOM = 'forja.random'
const OPTIMIZER = 'forja.optimizer'

/** Writes the whole file or leaves the old one. No step may be running. */
export async function saveCheckpoint(path: string, options: SaveCheckpointOptions): Promise<void> {
  const { model, optimizer, epoch, device, metadata } = options
  const random = await randomStateOf(resolveDevice(device)).read()
  await save(model, path, {
    optimizer: await optimizer.stateDict(),
    metadata: { ...metadata, [EPOCH]: String(epoch), [RANDOM]: random.join(','), [OPTIMIZER]: optimizer.name },
  })
}

/**
 * Reads a checkpoint into a network and an optimizer made as they were when it was written.
 *
 * @returns the epochs done, for fit()'s initialEpoch, and the file's metadata.
 * @throws ERR_FORMAT for a file that is no checkpoint; else as load().
 */
export async function loadCheckpoint(
  path: string,
  { model, optimizer, device }: Checkpoint,
): Promise<{ epoch: number; metadata: Record<string, string> }> {
  const bytes = await readFile(path).catch((cause: Error) => {
    throw new ForjaError('ERR_ARGUMENT', `${path} cannot be read: ${cause.message}`, { cause })
  })
  const { tensors, metadata } = decodeSafetensors(bytes, path)
  const [epoch, random] = [Number(metadata[EPOCH]), (metadata[RANDOM] ?? '').split(',').map(Number)]
  if (!Number.isSafeInteger(epoch) || epoch < 0 || random.length !== 4 || !random.every(Number.isInteger)) {
    throw new ForjaError('ERR_FORMAT', `${path} holds weights but no state of a training run`, {
      hint: 'load(model, path) reads the weights; training can only go on from what `train --save` wrote',
    })
  }
  if (metadata[OPTIMIZER] !== optimizer.name) {
    throw new ForjaError('ERR_ARGUMENT', `${path} was written with ${metadata[OPTIMIZER]}, not ${optimizer.name}`, {
      hint: 'go on with the optimizer that training began with',
    })
  }
  const state: Record<string, Tensor> = {}
  for (const [name, { data, shape, dtype }] of tensors) {
    if (name.startsWith(OPTIMIZER_PREFIX)) state[name.slice(OPTIMIZER_PREFIX.length)] = fromData(data, shape, dtype)
  }
  await load(model, path)
  await optimizer.loadStateDict(state)
  await randomStateOf(resolveDevice(device)).write(Int32Array.from(random))
  return { epoch, metadata }
}
