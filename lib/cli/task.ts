/** What `forja train` asks of a network on a data set: classes, numbers, or the samples themselves. */
import type { ArrayDataset, Splits } from '../data/dataset.js'
import { ForjaError } from '../errors.js'
import * as models from '../models/index.js'
import { formatShape, sameShape, sizeOfShape } from '../shape.js'

export interface Task {
  modelOptions: { inputs?: number; classes?: number }
  /** As the network takes them. */
  splits: Splits
  /** 'own': the network's, without labels. */
  loss: 'crossEntropy' | 'mseLoss' | 'own'
  metrics: 'accuracy'[]
}

/**
 * The task, and options for the network where it can have other numbers of inputs and outputs than usual.
 *
 * @throws ERR_ARGUMENT for a network that no data set is for; ERR_SHAPE for samples that it does not take.
 */
export function taskOf(info: models.ModelInfo, data: string, splits: Splits): Task {
  const { shape } = splits.train.fields[0]
  const fits = sameShape(shape, info.input)
  if (!fits && !info.flattens) {
    throw new ForjaError(
      'ERR_SHAPE',
      `${info.name} takes samples ${formatShape(info.input)}, those of ${data} are ${formatShape(shape)}`,
      { hint: `networks for ${data}: ${modelsFor(info, shape).join(', ')}` },
    )
  }
  const inputs = fits ? {} : { inputs: sizeOfShape(shape) }
  if (info.trainedBy === 'fitUnsupervised') {
    const unit = {
      train: unitInterval(splits.train, info.name, data),
      test: unitInterval(splits.test, info.name, data),
    }
    return { modelOptions: inputs, splits: unit, loss: 'own', metrics: [] }
  }
  const { classes } = splits.train
  const outputs = classes ?? sizeOfShape(splits.train.fields[1].shape)
  const modelOptions = { ...inputs, ...(outputs === info.classes ? {} : { classes: outputs }) }
  return classes === undefined
    ? { modelOptions, splits, loss: 'mseLoss', metrics: [] }
    : { modelOptions, splits, loss: 'crossEntropy', metrics: ['accuracy'] }
}

/** Whether the command line can train the network. */
export function isTrainable({ trainedBy, dtype }: models.ModelInfo): boolean {
  return trainedBy !== 'pretrain' && dtype !== 'int32'
}

/** @throws ERR_ARGUMENT for networks that are not, saying what can train them. */
export function checkTrainable(model: models.ModelInfo): void {
  if (isTrainable(model)) return
  const { name, trainedBy } = model
  if (trainedBy === 'pretrain') {
    throw new ForjaError('ERR_ARGUMENT', `${name} is trained layer by layer, which forja train does not do`, {
      hint: `in a program: models.${name}().pretrain(), then classifier() and fit()`,
    })
  }
  throw new ForjaError('ERR_ARGUMENT', `${name} learns from sequences of integers, which no data set here holds`, {
    hint: `in a program: fit(models.${name}(), data.fromArrays({ x, y }), ...)`,
  })
}

/** Images as numbers from 0 to 1, which outputs of a sigmoid can be. */
function unitInterval(set: ArrayDataset, model: string, data: string): ArrayDataset {
  const { dtype, normalization } = set.fields[0]
  if (dtype !== 'uint8') {
    throw new ForjaError('ERR_ARGUMENT', `${model} makes images again, numbers from 0 to 1; ${data} holds none`, {
      hint: 'data sets of images: mnist, fashion-mnist, cifar10, digits, synthetic, shapes',
    })
  }
  // Without an offset they are already: 8×8 digits have 16 levels.
  const already = normalization?.offset.every((offset) => offset === 0) ?? false
  return already ? set : set.normalized({ scale: [1 / 255], offset: [0] })
}

/** Networks that take samples of this shape and are trained as this one is. */
function modelsFor({ trainedBy }: models.ModelInfo, shape: readonly number[]): string[] {
  return models
    .list()
    .filter((model) => model.trainedBy === trainedBy && (model.flattens || sameShape(model.input, shape)))
    .map((model) => model.name)
}
