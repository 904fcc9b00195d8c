/**
 * Batch normalisation: the operations, on x (.., C) with channels last; M = elements per channel.
 *
 *     mean[c] = Σ x / M      variance[c] = Σ (x - mean)² / M      s = 1 / √(variance + eps)
 *     y = (x - mean) · s · gamma + beta        then plus a residual where there is one, then an activation if asked for
 *     dbeta = Σ dy      dgamma = Σ dy·(x - mean)·s      dx = gamma·s·(dy - dbeta / M - (x - mean)·s·dgamma / M)
 *
 * The functions users call are in norm_api.ts.
 */
import { ForjaError } from '../errors.js'
import type { Value } from '../graph/graph.js'
import { refArray } from '../reference/array.js'
import { formatShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { applyAll, filled } from './apply.js'
import { add, div, mul, neg, sub } from './elementwise.js'
import { rsqrt } from './math.js'
import { sum } from './reduce.js'
import { defineOp, type Op, requireMapDType, type Site } from './registry.js'
import { broadcastTo } from './shape.js'

const NORM_ATTRS = { eps: 'f32', activation: 'i32' } as const

/** x, gamma (C), beta (C) → y, mean (C), variance (C). With a residual, like x: y = activation(.. + beta + residual). */
export const batchNormOp: Op<typeof NORM_ATTRS> = defineOp({
  name: 'batchNorm',
  code: 120,
  inputs: ['x', 'gamma', 'beta', 'residual?'],
  attrs: NORM_ATTRS,
  infer: ([x, gamma, beta, residual], _attrs, site) => {
    const c = checkChannels(x!, [gamma!, beta!], site)
    checkMaps(x!, residual ? [residual] : [], site)
    return [x!.type, { shape: [c], dtype: gamma!.dtype }, { shape: [c], dtype: gamma!.dtype }]
  },
  grad: ({ inputs, outputs: [, mean, variance], gradOutputs: [dy, dmean, dvariance], attrs }) => {
    const [x, gamma, , residual] = inputs
    if (residual) throw new ForjaError('ERR_INTERNAL', 'batchNorm: passes fold residuals after differentiation')
    const [dx, dgamma, dbeta] = dy
      ? applyAll(batchNormGradOp, [dy, x!, gamma!, mean!, variance!], { eps: attrs.eps })
      : [null, null, null]
    const perChannel = x!.size / gamma!.size
    const parts: Tensor[] = dx ? [dx] : []
    if (dmean) parts.push(broadcastTo(div(dmean, perChannel), x!.shape))
    if (dvariance) parts.push(mul(sub(x!, mean!), div(mul(dvariance, 2), perChannel)))
    return [parts.length > 0 ? parts.reduce((a, b) => add(a, b)) : null, dgamma!, dbeta!]
  },
  traits: {
    epilogue: true,
    residual: 3,
    inplace: [
      [0, 0],
      [0, 3],
    ],
    narrow: [0, 3],
  },
  flops: ([x, , , residual]) => (residual ? 8 : 7) * x!.size,
  reference: ([x, gamma, beta, residual], attrs, [type, stats]) => {
    const c = stats!.shape[0]!
    const count = x!.data.length / c
    const y = refArray(type!.shape, type!.dtype)
    const mean = refArray(stats!.shape, stats!.dtype)
    const variance = refArray(stats!.shape, stats!.dtype)
    x!.data.forEach((value, i) => {
      mean.data[i % c]! += value / count
    })
    x!.data.forEach((value, i) => {
      variance.data[i % c]! += (value - mean.data[i % c]!) ** 2 / count
    })
    x!.data.forEach((value, i) => {
      const k = i % c
      const scaled = ((value - mean.data[k]!) / Math.sqrt(variance.data[k]! + attrs.eps)) * gamma!.data[k]!
      const total = scaled + beta!.data[k]! + (residual ? residual.data[i]! : 0)
      y.data[i] = attrs.activation === 1 ? Math.max(total, 0) : total
    })
    return [y, mean, variance]
  },
})

const GRAD_ATTRS = { eps: 'f32' } as const

/**
 * dy, x, gamma, mean, variance → dx, dgamma, dbeta. With y, the output of a batchNorm with the activation relu, dy
 * counts only where y is positive: reluGrad(dy, y) folded in.
 */
export const batchNormGradOp: Op<typeof GRAD_ATTRS> = defineOp({
  name: 'batchNormGrad',
  code: 121,
  inputs: ['dy', 'x', 'gamma', 'mean', 'variance', 'y?'],
  attrs: GRAD_ATTRS,
  infer: ([dy, x, gamma, mean, variance, y], _attrs, site) => {
    const c = checkChannels(x!, [gamma!, mean!, variance!], site)
    checkMaps(x!, y ? [dy!, y] : [dy!], site)
    return [x!.type, { shape: [c], dtype: gamma!.dtype }, { shape: [c], dtype: gamma!.dtype }]
  },
  // L = Σ a·dx + b·dgamma + e·dbeta, with h = (x - mean)·s, A = Σ a, P = Σ a·h, G = dgamma, B = dbeta:
  //   Q = Σ a·dy - A·B/M - P·G/M           L = gamma·s·Q + b·G + e·B
  //   t = ∂L/∂h = b·dy - gamma·s·(a·G + dy·P)/M
  grad: ({ inputs: [dy, x, gamma, mean, variance, y], outputs: [, dgamma, dbeta], gradOutputs, attrs }) => {
    if (y) throw new ForjaError('ERR_INTERNAL', 'batchNormGrad: passes fold activations after differentiation')
    const count = x!.size / gamma!.size
    const axes = x!.shape.map((_, axis) => axis).slice(0, -1)
    const total = (v: Tensor) => sum(v, { axes })
    const zero = filled(gamma!.shape, 0, x!.dtype)
    const a = gradOutputs[0] ?? filled(x!.shape, 0, x!.dtype)
    const b = gradOutputs[1] ?? zero
    const e = gradOutputs[2] ?? zero
    const s = rsqrt(add(variance!, attrs.eps))
    const centred = sub(x!, mean!)
    const h = mul(centred, s)
    const scale = mul(gamma!, s)
    const sumA = total(a)
    const p = total(mul(a, h))
    const q = sub(total(mul(a, dy!)), div(add(mul(sumA, dbeta!), mul(p, dgamma!)), count))
    const t = sub(mul(b, dy!), mul(div(scale, count), add(mul(a, dgamma!), mul(dy!, p))))
    const ddy = add(mul(scale, sub(a, div(add(sumA, mul(h, p)), count))), add(mul(h, b), e))
    const dx = mul(t, s)
    const ds = add(mul(gamma!, q), total(mul(t, centred)))
    const dvariance = mul(mul(ds, mul(s, mul(s, s))), -0.5)
    return [ddy, dx, mul(s, q), neg(total(dx)), dvariance]
  },
  traits: { inplace: [[0, 0]], narrow: [0, 1, 5] },
  flops: ([dy]) => 9 * dy!.size,
  reference: ([dy, x, gamma, mean, variance, y], attrs, [type, stats]) => {
    const c = stats!.shape[0]!
    const count = x!.data.length / c
    const dx = refArray(type!.shape, type!.dtype)
    const dgamma = refArray(stats!.shape, stats!.dtype)
    const dbeta = refArray(stats!.shape, stats!.dtype)
    const s = variance!.data.map((v) => 1 / Math.sqrt(v + attrs.eps))
    const at = (i: number) => (y && !(y.data[i]! > 0) ? 0 : dy!.data[i]!)
    const h = (i: number) => (x!.data[i]! - mean!.data[i % c]!) * s[i % c]!
    for (let i = 0; i < x!.data.length; i++) {
      dgamma.data[i % c]! += at(i) * h(i)
      dbeta.data[i % c]! += at(i)
    }
    for (let i = 0; i < x!.data.length; i++) {
      const k = i % c
      dx.data[i] = gamma!.data[k]! * s[k]! * (at(i) - dbeta.data[k]! / count - (h(i) * dgamma.data[k]!) / count)
    }
    return [dx, dgamma, dbeta]
  },
})

/** C, where x has at least one element per channel and the vectors have C elements. */
function checkChannels(x: Value, vectors: readonly Value[], site: Site): number {
  if (x.size < 1) site.fail('ERR_SHAPE', 'x has no elements or no channels')
  return checkVectors(x, vectors, site)
}

/** Maps of x's shape and dtype. */
function checkMaps(x: Value, maps: readonly Value[], site: Site): void {
  for (const { shape, dtype } of maps)
    if (dtype !== x.dtype || !sameShape(shape, x.shape))
      site.fail('ERR_SHAPE', `${x.dtype} ${formatShape(x.shape)} expected`)
}

/** The last axis of x, C, where the vectors have C elements. */
export function checkVectors(x: Value, vectors: readonly Value[], site: Site): number {
  const c = x.shape[x.shape.length - 1]
  if (c === undefined) return site.fail('ERR_SHAPE', 'a scalar has no axis')
  for (const value of [x, ...vectors]) requireMapDType(value, site)
  for (const value of vectors)
    if (value.dtype === 'bfloat16') site.fail('ERR_DTYPE', 'vectors of channels stay float32, got bfloat16')
  for (const v of vectors) if (v.shape.length !== 1 || v.shape[0] !== c) site.fail('ERR_SHAPE', `(${c},) expected`)
  return c
}

/** x (.., C) normalised over all axes but the last: [y, mean (C), biased variance (C)]. */
export function normalizeBatch(x: Tensor, gamma: Tensor, beta: Tensor, eps: number): [Tensor, Tensor, Tensor] {
  return applyAll(batchNormOp, [x, gamma, beta], { eps, activation: 0 }) as [Tensor, Tensor, Tensor]
}
