/**
 * What training needs of a network: any object with `forward` and `parameters`, layers of lib/nn being such.
 */
import { describeGiven, ForjaError } from '../errors.js'
import type { Tensor } from '../tensor.js'
import type { Variable } from '../variable.js'

export interface Trainable {
  forward(x: Tensor): Tensor
  parameters(): Variable[]
  /** Parameters and buffers by name, where there are names. */
  namedVariables?(): [string, Variable][]
  /** This module and every one inside: those whose `training` says how dropout and batch normalisation act. */
  namedModules?(): [string, object][]
}

/** `model`, if it is a network. */
export function checkTrainable(model: Trainable, who: string): Trainable {
  if (typeof model?.forward === 'function' && typeof model.parameters === 'function') return model
  throw new ForjaError(
    'ERR_ARGUMENT',
    `${who}: a network with forward() and parameters() was expected, got ${describeGiven(model)}`,
  )
}

/** Parameters and buffers, with the names that checkpoints give them. */
export function variablesOf(model: Trainable): [string, Variable][] {
  return model.namedVariables?.() ?? model.parameters().map((parameter, i) => [String(i), parameter])
}

/**
 * Runs `body`, which traces the model, in one mode; the user's modes, layer by layer, are as before afterwards. Layers
 * that were put in inference mode one by one (a backbone's batch normalisation) stay so in training.
 */
export function inMode<T>(model: Trainable, training: boolean, body: () => T): T {
  const modules = (model.namedModules?.() ?? [['', model]]).map(([, module]) => module as { training?: boolean })
  const before = modules.map((module) => module.training)
  const whole = (model as { training?: boolean }).training === false
  for (const module of modules) {
    if (module.training !== undefined) module.training = training && (whole || module.training)
  }
  try {
    return body()
  } finally {
    for (const [i, module] of modules.entries()) if (before[i] !== undefined) module.training = before[i]
  }
}
