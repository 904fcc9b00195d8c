/**
 * Losses. Class labels go through `crossEntropy`, one pass over the logits forward and one backward; the others are
 * elementwise expressions that fuse, followed by their reduction.
 */
import { describeGiven, ForjaError } from '../errors.js'
import { checkChoice, checkOptions } from '../options.js'
import { formatShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { softplus } from './activation.js'
import { requireTensors } from './check_call.js'
import { greater, where } from './compare.js'
import { type LabelLossOptions, labelLoss } from './cross_entropy.js'
import { add, div, maximum, minimum, mul, neg, sub } from './elementwise.js'
import { abs, exp, log, square } from './math.js'
import { mean, requireFloat, sum } from './reduce.js'
import { refuse } from './refuse.js'
import { reshape } from './shape.js'
import { logSoftmax } from './softmax.js'

export type Reduction = 'mean' | 'sum' | 'none'

export interface LossOptions {
  /** Default mean. */
  reduction?: Reduction
}

const REDUCTIONS: readonly Reduction[] = ['mean', 'sum', 'none']

function reduceLoss(loss: Tensor, reduction: Reduction | undefined, what: string): Tensor {
  checkChoice(what, 'reduction', reduction ?? 'mean', REDUCTIONS)
  return reduction === 'none' ? loss : reduction === 'sum' ? sum(loss) : mean(loss)
}

function requireSameShape(input: Tensor, target: Tensor, what: string): void {
  requireTensors(what, { input, target })
  requireFloat(input, what)
  if (sameShape(input.shape, target.shape)) return
  throw new ForjaError(
    'ERR_SHAPE',
    `${what}: input has shape ${formatShape(input.shape)}, target ${formatShape(target.shape)}; they must be equal`,
  )
}

export interface CrossEntropyOptions extends LabelLossOptions, LossOptions {
  /** Share of every target that is spread evenly over all classes. Default 0. */
  labelSmoothing?: number
}

/**
 * Cross entropy of logits (N, C) or (N, C, d1, ..) with labels: class indices (N, d1, ..), int32 or uint8, or class
 * probabilities of the logits' shape. `mean` divides by the labels' total weight, ignored labels left out.
 *
 * @throws ERR_ARGUMENT when the program runs on a label that is no class, naming it.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): Tensor {
  requireTensors('crossEntropy', { logits, labels })
  const known = ['reduction', 'labelSmoothing', 'ignoreIndex', 'weight'] as const
  const { reduction = 'mean', labelSmoothing = 0 } = checkOptions('crossEntropy', options, known)
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `crossEntropy: labelSmoothing is ${describeGiven(labelSmoothing)}, expected 0..1`,
    )
  }
  checkChoice('crossEntropy', 'reduction', reduction, REDUCTIONS)
  if (labels.dtype === logits.dtype) return probabilityCrossEntropy(logits, labels, options)
  const { loss, weight } = labelLoss(logits, labels, options, labelSmoothing, 'crossEntropy')
  return reduceLabelLoss(loss, weight, reduction)
}

/**
 * Negative log likelihood of log-probabilities (N, C) or (N, C, d1, ..), as logSoftmax gives them, with labels as in
 * `crossEntropy`.
 */
export function nllLoss(input: Tensor, labels: Tensor, options: LabelLossOptions & LossOptions = {}): Tensor {
  requireTensors('nllLoss', { input, labels })
  const { reduction = 'mean' } = checkOptions('nllLoss', options, ['reduction', 'ignoreIndex', 'weight'])
  checkChoice('nllLoss', 'reduction', reduction, REDUCTIONS)
  const { loss, weight } = labelLoss(input, labels, options, 0, 'nllLoss')
  return reduceLabelLoss(loss, weight, reduction)
}

function reduceLabelLoss(loss: Tensor, weight: Tensor, reduction: Reduction): Tensor {
  return reduction === 'none' ? loss : reduction === 'sum' ? sum(loss) : div(sum(loss), sum(weight))
}

/** -Σ_c w_c t_c logSoftmax(x)_c, targets given as probabilities; mean divides by the number of samples. */
function probabilityCrossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions): Tensor {
  const { reduction = 'mean', labelSmoothing = 0, ignoreIndex, weight } = options
  if (ignoreIndex !== undefined) {
    refuse(
      'crossEntropy',
      'ERR_ARGUMENT',
      `ignoreIndex is one of labels, the targets are ${target.dtype} probabilities`,
    )
  }
  if (target.rank === logits.rank - 1) {
    refuse(
      'crossEntropy',
      'ERR_SHAPE',
      `${target.dtype} targets are probabilities, of the shape of the logits ${formatShape(logits.shape)}, got ${formatShape(target.shape)}`,
      "labels are int32 or uint8: use cast(labels, 'int32')",
    )
  }
  requireSameShape(logits, target, 'crossEntropy')
  const axis = logits.rank === 1 ? 0 : 1
  const classes = logits.shape[axis]!
  const smoothed = labelSmoothing > 0 ? add(mul(target, 1 - labelSmoothing), labelSmoothing / classes) : target
  const weighted = weight ? mul(smoothed, channelWeights(weight, logits, axis)) : smoothed
  const loss = neg(sum(mul(weighted, logSoftmax(logits, { axis })), { axes: axis }))
  return reduceLoss(loss, reduction, 'crossEntropy')
}

/** weight (C) reshaped to broadcast along the class axis of the logits. */
function channelWeights(weight: Tensor, logits: Tensor, axis: number): Tensor {
  if (weight.rank !== 1 || weight.shape[0] !== logits.shape[axis]) {
    throw new ForjaError(
      'ERR_SHAPE',
      `crossEntropy: weight has shape ${formatShape(weight.shape)}, expected (${logits.shape[axis]},)`,
    )
  }
  return reshape(weight, [weight.size, ...new Array<number>(logits.rank - 1 - axis).fill(1)])
}

/** (input - target)². */
export function mseLoss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const { reduction } = checkOptions('mseLoss', options, ['reduction'])
  requireSameShape(input, target, 'mseLoss')
  return reduceLoss(square(sub(input, target)), reduction, 'mseLoss')
}

/** |input - target|. */
export function l1Loss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const { reduction } = checkOptions('l1Loss', options, ['reduction'])
  requireSameShape(input, target, 'l1Loss')
  return reduceLoss(abs(sub(input, target)), reduction, 'l1Loss')
}

export interface HuberOptions extends LossOptions {
  /** Distance up to which the loss is quadratic. Default 1. */
  delta?: number
}

/** ½ d² where d = |input - target| is below delta, delta (d - ½ delta) beyond. */
export function huberLoss(input: Tensor, target: Tensor, options: HuberOptions = {}): Tensor {
  const { reduction, delta = 1 } = checkOptions('huberLoss', options, ['reduction', 'delta'])
  requireSameShape(input, target, 'huberLoss')
  if (!(delta > 0)) throw new ForjaError('ERR_ARGUMENT', `huberLoss: delta is ${delta}, expected a positive number`)
  return reduceLoss(huber(input, target, delta), reduction, 'huberLoss')
}

/** With z = min(d, delta): ½ z² + delta (d - z), no branch. */
function huber(input: Tensor, target: Tensor, delta: number): Tensor {
  const distance = abs(sub(input, target))
  const near = minimum(distance, delta)
  return add(mul(square(near), 0.5), mul(sub(distance, near), delta))
}

export interface SmoothL1Options extends LossOptions {
  /** Distance up to which the loss is quadratic; 0 gives l1Loss. Default 1. */
  beta?: number
}

/** ½ d² / beta where d = |input - target| is below beta, d - ½ beta beyond. */
export function smoothL1Loss(input: Tensor, target: Tensor, options: SmoothL1Options = {}): Tensor {
  const { reduction, beta = 1 } = checkOptions('smoothL1Loss', options, ['reduction', 'beta'])
  requireSameShape(input, target, 'smoothL1Loss')
  if (!(beta >= 0)) throw new ForjaError('ERR_ARGUMENT', `smoothL1Loss: beta is ${beta}, expected 0 or more`)
  const loss = beta === 0 ? abs(sub(input, target)) : div(huber(input, target, beta), beta)
  return reduceLoss(loss, reduction, 'smoothL1Loss')
}

/** log(x), not below -100, and with gradient 0 at x = 0: neither loss nor gradient becomes infinite. */
function boundedLog(x: Tensor): Tensor {
  const positive = greater(x, 0)
  return where(positive, maximum(log(where(positive, x, 1)), -100), -100)
}

/**
 * -(t log p + (1 - t) log(1 - p)) for probabilities p = input. Logarithms are bounded at -100, and where they are the
 * gradient is 0: PyTorch's is (p - t) / max(p (1 - p), 1e-12), which is 1e12 for a p of 0 or 1 that is wrong.
 */
export function binaryCrossEntropy(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const { reduction } = checkOptions('binaryCrossEntropy', options, ['reduction'])
  requireSameShape(input, target, 'binaryCrossEntropy')
  const loss = neg(add(mul(target, boundedLog(input)), mul(sub(1, target), boundedLog(sub(1, input)))))
  return reduceLoss(loss, reduction, 'binaryCrossEntropy')
}

/** binaryCrossEntropy of sigmoid(input), from logits of any size: t softplus(-x) + (1 - t) softplus(x). */
export function binaryCrossEntropyWithLogits(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const { reduction } = checkOptions('binaryCrossEntropyWithLogits', options, ['reduction'])
  requireSameShape(input, target, 'binaryCrossEntropyWithLogits')
  // Not softplus(x) - x t: the loss of an answer that is right and sure would be what rounding leaves of their difference.
  const loss = add(mul(target, softplus(neg(input))), mul(sub(1, target), softplus(input)))
  return reduceLoss(loss, reduction, 'binaryCrossEntropyWithLogits')
}

export interface KlDivOptions {
  /** batchmean divides the sum by the first axis: the divergence per sample. Default mean, over all elements. */
  reduction?: Reduction | 'batchmean'
  /** The target holds log-probabilities too. Default false. */
  logTarget?: boolean
}

/** t (log t - input) for log-probabilities `input` and probabilities t = target, 0 where t is 0. */
export function klDivLoss(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  const { reduction = 'mean', logTarget = false } = checkOptions('klDivLoss', options, ['reduction', 'logTarget'])
  requireSameShape(input, target, 'klDivLoss')
  checkChoice('klDivLoss', 'reduction', reduction, [...REDUCTIONS, 'batchmean'])
  const loss = logTarget ? mul(exp(target), sub(target, input)) : sub(timesLog(target), mul(target, input))
  if (reduction === 'batchmean') return div(sum(loss), input.shape[0] ?? 1)
  return reduceLoss(loss, reduction, 'klDivLoss')
}

/** t log t, 0 at 0. */
function timesLog(t: Tensor): Tensor {
  const positive = greater(t, 0)
  return where(positive, mul(t, log(where(positive, t, 1))), 0)
}
