/**
 * Transfer learning: a network that was trained on one task gets a new last layer for another.
 */
import { ForjaError } from '../errors.js'
import { checkInteger, checkOptions } from '../options.js'
import { Linear, type WeightInit } from './linear.js'
import { type AnyModule, requireModule } from './module.js'

export interface ReplaceHeadOptions extends WeightInit {
  /** The path of the linear layer, such as `aux1.fc2`. Default: the last linear layer. */
  layer?: string
}

/**
 * Puts a fresh linear layer with `classes` outputs in the place of the last one and gives it back. The old one's memory
 * is released; optimizers and compiled functions made before know only that one, so make them afterwards.
 *
 *     await load(model, 'pretrained.safetensors')
 *     model.freeze()                               // the body: features as they are
 *     const head = replaceHead(model, 10)          // learns; model.unfreeze() lets everything learn
 *
 * @throws ERR_ARGUMENT where there is no such linear layer.
 */
export function replaceHead(model: AnyModule, classes: number, options: ReplaceHeadOptions = {}): Linear {
  requireModule('replaceHead', model)
  checkInteger('replaceHead', 'classes', classes)
  const { layer, ...init } = checkOptions('replaceHead', options, ['layer', 'weightInit', 'biasInit'])
  const linear = model
    .namedModules()
    .filter((entry): entry is [string, Linear] => entry[0] !== '' && entry[1] instanceof Linear)
  const [path, old] = (layer === undefined ? linear.at(-1) : linear.find(([name]) => name === layer)) ?? []
  if (path === undefined || old === undefined) {
    const what = layer === undefined ? 'linear layer in it' : `linear layer '${layer}'`
    throw new ForjaError('ERR_ARGUMENT', `replaceHead: ${model.constructor.name} has no ${what}`, {
      hint:
        linear.length > 0
          ? `its linear layers are ${linear.map(([name]) => name).join(', ')}`
          : 'make the network anew with the number of classes it shall have',
    })
  }
  const head = new Linear(old.inFeatures, classes, { ...init, bias: old.bias !== null })
  for (const [, parent] of model.namedModules()) {
    for (const [name, child] of parent.namedChildren()) if (child === old) parent.setMember(name, head)
  }
  const kept = new Set(model.namedVariables().map(([, variable]) => variable))
  for (const [, variable] of old.namedVariables()) if (!kept.has(variable)) variable.dispose()
  for (const [name, variable] of head.namedVariables()) variable.state.name = `${path}.${name}`
  return head
}
