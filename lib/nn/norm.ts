/**
 * Normalisation layers: (x - mean) / √(variance + eps) · weight + bias, over the batch (BatchNorm), the last axes
 * (LayerNorm) or groups of channels (GroupNorm); and LocalResponseNorm, which divides by the activity of neighbours.
 */
import { ones, zeros } from '../create.js'
import { ForjaError } from '../errors.js'
import { add } from '../ops/elementwise.js'
import { batchNorm, groupNorm, layerNorm, localResponseNorm } from '../ops/norm_api.js'
import { currentScope } from '../ops/registry.js'
import { checkInteger, checkNumber, checkOptions } from '../options.js'
import { activeTrace } from '../runtime/compile.js'
import { formatShape, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { checkGroups } from './check.js'
import { Module } from './module.js'

export interface BatchNormOptions {
  /** Default 1e-5. */
  eps?: number
  /** Weight of the newest batch in the running statistics. Default 0.1. */
  momentum?: number
  /** Has weight and bias. Default true. */
  affine?: boolean
  /** Without them the batch's own statistics serve in inference too. Default true. */
  trackRunningStats?: boolean
}

/** What BatchNorm1d and BatchNorm2d share; they differ in the ranks they take. */
abstract class BatchNorm extends Module {
  weight: Variable | null
  bias: Variable | null
  runningMean: Variable | null
  runningVar: Variable | null
  numBatchesTracked: Variable | null
  readonly eps: number
  readonly momentum: number

  constructor(
    readonly numFeatures: number,
    options: BatchNormOptions = {},
  ) {
    super()
    const layer = this.constructor.name
    const known = ['eps', 'momentum', 'affine', 'trackRunningStats'] as const
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = checkOptions(layer, options, known)
    checkInteger(layer, 'numFeatures', numFeatures)
    checkNumber(layer, 'eps', eps, 0)
    checkNumber(layer, 'momentum', momentum, 0, 1)
    this.eps = eps
    this.momentum = momentum
    this.weight = affine ? new Variable(ones([numFeatures]), { name: 'weight' }) : null
    this.bias = affine ? new Variable(zeros([numFeatures]), { name: 'bias' }) : null
    const buffer = (name: string, initial: Tensor) =>
      trackRunningStats ? new Variable(initial, { name, buffer: true }) : null
    this.runningMean = buffer('running_mean', zeros([numFeatures]))
    this.runningVar = buffer('running_var', ones([numFeatures]))
    this.numBatchesTracked = buffer('num_batches_tracked', zeros([], { dtype: 'int32' }))
  }

  /** Shapes that the layer takes, for the error text. */
  protected abstract readonly expected: string
  protected abstract accepts(rank: number): boolean

  override forward(x: Tensor): Tensor {
    if (!this.accepts(x.rank) || x.shape[1] !== this.numFeatures) {
      const layer = currentScope()
      throw new ForjaError(
        'ERR_SHAPE',
        `${this.constructor.name}${layer ? ` (${layer})` : ''}: ${this.expected} with C = ${this.numFeatures} expected, ` +
          `got shape ${formatShape(x.shape)}`,
      )
    }
    // As the running statistics, which batchNorm updates in compiled functions only.
    if (this.training && this.numBatchesTracked && activeTrace()) {
      void this.numBatchesTracked.assign(add(this.numBatchesTracked.assigned, ones([], { dtype: 'int32' })))
    }
    return batchNorm(x, {
      gamma: this.weight,
      beta: this.bias,
      runningMean: this.runningMean,
      runningVar: this.runningVar,
      training: this.training || this.runningMean === null,
      momentum: this.momentum,
      eps: this.eps,
    })
  }
}

/** Over (N, C) or (N, C, L), each channel by the mean and variance of the batch. */
export class BatchNorm1d extends BatchNorm {
  protected override readonly expected = '(N, C) or (N, C, L)'

  protected override accepts(rank: number): boolean {
    return rank === 2 || rank === 3
  }
}

/** Over (N, C, H, W), each channel by the mean and variance of the batch. */
export class BatchNorm2d extends BatchNorm {
  protected override readonly expected = '(N, C, H, W)'

  protected override accepts(rank: number): boolean {
    return rank === 4
  }
}

export interface LayerNormOptions {
  /** Default 1e-5. */
  eps?: number
  /** Has weight and bias. Default true. */
  elementwiseAffine?: boolean
  /** With elementwiseAffine: has a bias. Default true. */
  bias?: boolean
}

/** Every sample by the mean and variance of its last axes, which have `normalizedShape`. */
export class LayerNorm extends Module {
  readonly normalizedShape: Shape
  weight: Variable | null
  bias: Variable | null
  readonly eps: number

  constructor(normalizedShape: number | Shape, options: LayerNormOptions = {}) {
    super()
    const known = ['eps', 'elementwiseAffine', 'bias'] as const
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = checkOptions('LayerNorm', options, known)
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape]
    if (this.normalizedShape.length === 0) {
      throw new ForjaError('ERR_ARGUMENT', 'LayerNorm: normalizedShape must name at least one axis, got []')
    }
    for (const size of this.normalizedShape) checkInteger('LayerNorm', 'normalizedShape', size)
    checkNumber('LayerNorm', 'eps', eps, 0)
    this.eps = eps
    this.weight = elementwiseAffine ? new Variable(ones(this.normalizedShape), { name: 'weight' }) : null
    this.bias = elementwiseAffine && bias ? new Variable(zeros(this.normalizedShape), { name: 'bias' }) : null
  }

  override forward(x: Tensor): Tensor {
    return layerNorm(x, {
      gamma: this.weight,
      beta: this.bias,
      eps: this.eps,
      normalizedShape: this.normalizedShape,
    })
  }
}

export interface GroupNormOptions {
  /** Default 1e-5. */
  eps?: number
  /** Has weight and bias. Default true. */
  affine?: boolean
}

/** Over (N, C, ...), every sample by the mean and variance of each of `numGroups` groups of channels. */
export class GroupNorm extends Module {
  weight: Variable | null
  bias: Variable | null
  readonly eps: number

  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    options: GroupNormOptions = {},
  ) {
    super()
    const { eps = 1e-5, affine = true } = checkOptions('GroupNorm', options, ['eps', 'affine'])
    checkInteger('GroupNorm', 'numChannels', numChannels)
    checkGroups('GroupNorm', numGroups, { numChannels })
    checkNumber('GroupNorm', 'eps', eps, 0)
    this.eps = eps
    this.weight = affine ? new Variable(ones([numChannels]), { name: 'weight' }) : null
    this.bias = affine ? new Variable(zeros([numChannels]), { name: 'bias' }) : null
  }

  override forward(x: Tensor): Tensor {
    return groupNorm(x, { groups: this.numGroups, gamma: this.weight, beta: this.bias, eps: this.eps })
  }
}

export interface LocalResponseNormOptions {
  /** Default 1e-4. */
  alpha?: number
  /** Default 0.75. */
  beta?: number
  /** Default 1. */
  k?: number
}

/** x / (k + alpha · mean of squares over `size` neighbouring channels)^beta, over (N, C, ...). */
export class LocalResponseNorm extends Module {
  readonly alpha: number
  readonly beta: number
  readonly k: number

  constructor(
    readonly size: number,
    options: LocalResponseNormOptions = {},
  ) {
    super()
    const { alpha = 1e-4, beta = 0.75, k = 1 } = checkOptions('LocalResponseNorm', options, ['alpha', 'beta', 'k'])
    checkInteger('LocalResponseNorm', 'size', size)
    checkNumber('LocalResponseNorm', 'alpha', alpha)
    checkNumber('LocalResponseNorm', 'beta', beta)
    checkNumber('LocalResponseNorm', 'k', k)
    this.alpha = alpha
    this.beta = beta
    this.k = k
  }

  override forward(x: Tensor): Tensor {
    const { size, alpha, beta, k } = this
    return localResponseNorm(x, { size, alpha, beta, k })
  }

  override detail(): string {
    return `${this.size} channels`
  }
}
