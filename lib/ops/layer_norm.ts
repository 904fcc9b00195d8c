/**
 * Layer normalisation: the operations, on rows of x (.., C), each by its own mean and variance; gamma, beta (C).
 *
 *     mean = Σ x / C      variance = Σ (x - mean)² / C      s = 1 / √(variance + eps)      h = (x - mean) · s
 *     y = h · gamma + beta
 *     g = dy · gamma      dx = s · (g - Σ g / C - h · Σ (g · h) / C)
 *     dgamma = Σ dy · h      dbeta = Σ dy      over all rows
 *
 * The gradient computes the statistics anew: a row that it has read for its sums holds them too, so keeping them would
 * only cost bytes. The functions users call are in norm_api.ts.
 */
import { refArray } from '../reference/array.js'
import { formatShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply, applyAll } from './apply.js'
import { add, mul, sub } from './elementwise.js'
import { rsqrt, square } from './math.js'
import { checkVectors } from './norm.js'
import { mean, sumTo } from './reduce.js'
import { defineOp, type Op } from './registry.js'
import { broadcastTo } from './shape.js'

/** Mean and s of the row that begins at `begin`. */
function statistics(x: Float64Array, begin: number, columns: number, eps: number): { mean: number; s: number } {
  const row = x.subarray(begin, begin + columns)
  const mean = row.reduce((total, v) => total + v, 0) / columns
  const variance = row.reduce((total, v) => total + (v - mean) ** 2, 0) / columns
  return { mean, s: 1 / Math.sqrt(variance + eps) }
}

const ATTRS = { eps: 'f32' } as const

/** x, gamma or not, with it beta or not → y. */
const layerNormOp: Op<typeof ATTRS> = defineOp({
  name: 'layerNorm',
  code: 122,
  inputs: ['x', 'gamma?', 'beta?'],
  attrs: ATTRS,
  infer: ([x, ...vectors], _attrs, site) => {
    checkVectors(x!, vectors, site)
    return [x!.type]
  },
  grad: ({ inputs: [x, gamma], gradOutputs: [dy], attrs: { eps }, needs: [, ...vectors] }) =>
    applyAll(layerNormGradOp, gamma ? [dy!, x!, gamma] : [dy!, x!], { eps, vectors: Number(vectors.includes(true)) }),
  traits: { inplace: [[0, 0]], narrow: [0] },
  flops: ([x]) => 8 * x!.size,
  reference: ([x, gamma, beta], { eps }, [type]) => {
    const y = refArray(type!.shape, type!.dtype)
    const columns = type!.shape[type!.shape.length - 1]!
    for (let begin = 0; begin < y.data.length; begin += columns) {
      const { mean, s } = statistics(x!.data, begin, columns, eps)
      for (let c = 0; c < columns; c++) {
        y.data[begin + c] = (x!.data[begin + c]! - mean) * s * (gamma?.data[c] ?? 1) + (beta?.data[c] ?? 0)
      }
    }
    return [y]
  },
})

const GRAD_ATTRS = { eps: 'f32', vectors: 'i32' } as const

/** dy, x, gamma or not → dx, and where `vectors` is 1 dgamma and dbeta. */
const layerNormGradOp: Op<typeof GRAD_ATTRS> = defineOp({
  name: 'layerNormGrad',
  code: 123,
  inputs: ['dy', 'x', 'gamma?'],
  attrs: GRAD_ATTRS,
  infer: ([dy, x, gamma], { vectors }, site) => {
    checkVectors(x!, gamma ? [gamma] : [], site)
    if (dy!.dtype !== x!.dtype || !sameShape(dy!.shape, x!.shape)) {
      site.fail('ERR_SHAPE', `${formatShape(x!.shape)} of ${x!.dtype} expected`)
    }
    if (!vectors) return [x!.type]
    if (!gamma) return site.fail('ERR_SHAPE', 'gamma is needed for its gradient')
    return [x!.type, gamma.type, gamma.type]
  },
  // L = Σ a·dx + b·dgamma + e·dbeta. The map that makes dx of g is its own adjoint in every row; in
  //   ∂L/∂h = t = b·dy - s·(a·mean(g·h) + g·mean(a·h))      ∂L/∂s = Σ a·dx / s      (means over a row)
  // both reach x by way of the statistics:
  //   ∂L/∂x = s·(t - mean(t) - h·mean(t·h)) - s·h·mean(a·dx)
  grad: ({ inputs: [dy, x, gamma], outputs: [dx], gradOutputs: [a, b, e], attrs: { eps } }) => {
    const ofRow = (v: Tensor) => mean(v, { axes: -1, keepDims: true })
    const projected = (v: Tensor) => apply(layerNormGradOp, [v, x!], { eps, vectors: 0 })
    const centred = sub(x!, ofRow(x!))
    const s = rsqrt(add(ofRow(square(centred)), eps))
    const h = mul(centred, s)
    const toDy: Tensor[] = []
    const t: Tensor[] = []
    const u = a && projected(a)
    if (a && u) {
      const g = gamma ? mul(dy!, gamma) : dy!
      toDy.push(gamma ? mul(u, gamma) : u)
      t.push(mul(mul(s, -1), add(mul(a, ofRow(mul(g, h))), mul(g, ofRow(mul(a, h))))))
    }
    if (b) {
      toDy.push(mul(h, b))
      t.push(mul(b, dy!))
    }
    if (e) toDy.push(broadcastTo(e, dy!.shape))
    const total = (parts: readonly Tensor[]) => parts.reduce((sum, part) => add(sum, part))
    const throughH = t.length > 0 ? projected(total(t)) : null
    return [
      total(toDy),
      a && throughH ? sub(throughH, mul(mul(h, s), ofRow(mul(a, dx!)))) : throughH,
      u && gamma ? sumTo(mul(u, dy!), gamma.shape) : null,
    ]
  },
  traits: { inplace: [[0, 0]], narrow: [0, 1] },
  flops: ([dy], _outputs, { vectors }) => (vectors ? 18 : 15) * dy!.size,
  reference: ([dy, x, gamma], { eps, vectors }, [type, vector]) => {
    const dx = refArray(type!.shape, type!.dtype)
    const columns = type!.shape[type!.shape.length - 1]!
    const sums = vectors ? [refArray(vector!.shape, vector!.dtype), refArray(vector!.shape, vector!.dtype)] : []
    for (let begin = 0; begin < dx.data.length; begin += columns) {
      const { mean, s } = statistics(x!.data, begin, columns, eps)
      const h = x!.data.subarray(begin, begin + columns).map((v) => (v - mean) * s)
      const d = dy!.data.subarray(begin, begin + columns)
      const g = d.map((v, c) => v * (gamma?.data[c] ?? 1))
      const meanG = g.reduce((total, v) => total + v, 0) / columns
      const meanGH = g.reduce((total, v, c) => total + v * h[c]!, 0) / columns
      for (let c = 0; c < columns; c++) {
        dx.data[begin + c] = s * (g[c]! - meanG - h[c]! * meanGH)
        if (!vectors) continue
        sums[0]!.data[c]! += d[c]! * h[c]!
        sums[1]!.data[c]! += d[c]!
      }
    }
    return [dx, ...sums]
  },
})

/** Rows, the last axis of x (.., C), normalised: y (.., C). With `beta` there must be `gamma`; both (C). */
export function normalizeRows(x: Tensor, eps: number, gamma?: Tensor | null, beta?: Tensor | null): Tensor {
  const vectors = [gamma, beta].filter((v): v is Tensor => !!v)
  return apply(layerNormOp, [x, ...vectors], { eps })
}
