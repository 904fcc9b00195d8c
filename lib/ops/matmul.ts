/**
 * Matrix multiplication: y[.., M, N] = op(a)[.., M, K] · op(b)[.., K, N] (+ bias[N]) (then activation), batched, with
 * batch dimensions broadcast. The activation reluGrad has its ReLU's result [.., M, N] in the place of a bias.
 */
import { ForjaError } from '../errors.js'
import { checkOptions } from '../options.js'
import { broadcastOffset, forEachIndex, refArray } from '../reference/array.js'
import { broadcastShapes, formatShape, sameShape, sizeOfShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { RELU, RELU_GRAD } from './activation.js'
import { apply } from './apply.js'
import { requireTensors } from './check_call.js'
import { sumTo } from './reduce.js'
import { defineOp, type Op, requireMapDType, requireSameDType } from './registry.js'
import { reshape } from './shape.js'

const ATTRS = { transposeA: 'i32', transposeB: 'i32', activation: 'i32' } as const

export const matmulOp: Op<typeof ATTRS> = defineOp({
  name: 'matmul',
  code: 96,
  inputs: ['a', 'b', 'bias?'],
  attrs: ATTRS,
  infer: ([a, b, third], attrs, site) => {
    if (a!.shape.length < 2 || b!.shape.length < 2) site.fail('ERR_SHAPE', 'operands need at least 2 dimensions')
    for (const x of [a!, b!]) requireMapDType(x, site)
    requireSameDType([a!, b!], site)
    const [m, k] = matrixDims(a!.shape, attrs.transposeA)
    const [kb, n] = matrixDims(b!.shape, attrs.transposeB)
    if (k !== kb) site.fail('ERR_SHAPE', `inner dimensions differ: ${k} ≠ ${kb}`)
    const batch = broadcastShapes(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
    if (batch === null) {
      return site.fail(
        'ERR_SHAPE',
        `batch dimensions ${formatShape(a!.shape.slice(0, -2))} and ${formatShape(b!.shape.slice(0, -2))} do not broadcast`,
      )
    }
    const type = { shape: [...batch, m, n], dtype: a!.dtype }
    if (attrs.activation === RELU_GRAD) {
      const like = third?.dtype === type.dtype && sameShape(third.shape, type.shape)
      return like
        ? [type]
        : site.fail('ERR_INTERNAL', "the gradient of ReLU needs its result, which is like the product's")
    }
    if (third && third.dtype !== 'float32' && third.dtype !== a!.dtype) {
      site.fail('ERR_DTYPE', `a float32 bias expected, got ${third.dtype}`)
    }
    if (third && (third.shape.length !== 1 || third.shape[0] !== n)) {
      site.fail('ERR_SHAPE', `bias must have shape (${n},)`)
    }
    return [type]
  },
  grad: ({ inputs: [a, b, bias], gradOutputs: [dy], attrs, needs }) => {
    const { transposeA: ta, transposeB: tb, activation } = attrs
    if (activation) throw new ForjaError('ERR_INTERNAL', 'matmul: passes fold activations after differentiation')
    // y = op(a) op(b): d op(a) = dy op(b)ᵀ, d op(b) = op(a)ᵀ dy; a transposed operand gets the transposed product.
    const da = !needs[0]
      ? null
      : ta
        ? matmul(b!, dy!, { transposeA: !!tb, transposeB: true })
        : matmul(dy!, b!, { transposeB: !tb })
    const db = !needs[1]
      ? null
      : tb
        ? matmul(dy!, a!, { transposeA: true, transposeB: !!ta })
        : matmul(a!, dy!, { transposeA: !ta })
    const grads = [da && sumTo(da, a!.shape), db && sumTo(db, b!.shape)]
    return bias ? [...grads, sumTo(dy!, bias.shape)] : grads
  },
  traits: { product: true, epilogue: true, masked: 2, narrow: [0, 1, 2] },
  variants: ['naive', 'blocked', 'simd', 'blas', 'coalesced', 'shared', 'tiled', 'tensorcore', 'cublas'],
  flops: ([a], [y], attrs) => 2 * y!.size * matrixDims(a!.shape, attrs.transposeA)[1],
  reference: ([a, b, third], attrs, [type]) => {
    const out = refArray(type!.shape, type!.dtype)
    const [m, k] = matrixDims(a!.shape, attrs.transposeA)
    const [, n] = matrixDims(b!.shape, attrs.transposeB)
    const [aRow, aColumn] = attrs.transposeA ? [1, m] : [k, 1]
    const [bRow, bColumn] = attrs.transposeB ? [1, k] : [n, 1]
    const bias = attrs.activation === RELU_GRAD ? undefined : third
    forEachIndex(type!.shape.slice(0, -2), (batch, matrix) => {
      const aFirst = broadcastOffset(a!.shape.slice(0, -2), batch) * m * k
      const bFirst = broadcastOffset(b!.shape.slice(0, -2), batch) * k * n
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          const flat = (matrix * m + i) * n + j
          let total = dot(
            a!.data,
            aFirst + i * aRow,
            aColumn,
            b!.data,
            bFirst + j * bColumn,
            bRow,
            k,
            bias?.data[j] ?? 0,
          )
          if (attrs.activation === RELU) total = Math.max(total, 0)
          if (attrs.activation === RELU_GRAD && third!.data[flat]! <= 0) total = 0
          out.data[flat] = total
        }
      }
    })
    return [out]
  },
})

/** `total` plus the products of `length` elements of `a` and `b`, `aStep` and `bStep` apart. */
function dot(
  a: Float64Array,
  aAt: number,
  aStep: number,
  b: Float64Array,
  bAt: number,
  bStep: number,
  length: number,
  total: number,
): number {
  for (let p = 0; p < length; p++) total += a[aAt + p * aStep]! * b[bAt + p * bStep]!
  return total
}

function matrixDims(shape: readonly number[], transposed: number): [number, number] {
  const [rows, cols] = shape.slice(-2) as [number, number]
  return transposed ? [cols, rows] : [rows, cols]
}

export interface MatmulOptions {
  /** Use aᵀ (last two axes). */
  transposeA?: boolean
  /** Use bᵀ (last two axes). */
  transposeB?: boolean
}

/**
 * Matrix product over the last two axes, batch axes broadcast. Vectors as in NumPy: a (K,) acts as (1, K), b (K,) as
 * (K, 1), and the added axis is dropped from the result.
 *
 * @throws ERR_SHAPE where inner dimensions differ or batch axes do not broadcast; ERR_DTYPE unless float32.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  requireTensors('matmul', { a, b })
  checkOptions('matmul', options, ['transposeA', 'transposeB'])
  if (a.rank === 0 || b.rank === 0)
    throw new ForjaError('ERR_SHAPE', 'matmul: operands need at least 1 dimension; use mul() for scalars')
  const left = a.rank === 1 ? reshape(a, options.transposeA ? [a.size, 1] : [1, a.size]) : a
  const right = b.rank === 1 ? reshape(b, options.transposeB ? [1, b.size] : [b.size, 1]) : b
  const y = apply(matmulOp, [left, right], {
    transposeA: options.transposeA ? 1 : 0,
    transposeB: options.transposeB ? 1 : 0,
    activation: 0,
  })
  const shape = y.shape.filter(
    (_, axis) => !(a.rank === 1 && axis === y.rank - 2) && !(b.rank === 1 && axis === y.rank - 1),
  )
  return reshape(y, shape)
}

/** x[.., in] · weight[out, in]ᵀ + bias[out]: a fully connected layer. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor {
  requireTensors('linear', { x, weight })
  const rows = x.rank === 2 ? x : reshape(x, [sizeOfShape(x.shape.slice(0, -1)), x.shape[x.rank - 1] ?? 1])
  const inputs = bias ? [rows, weight, bias] : [rows, weight]
  const y = apply(matmulOp, inputs, { transposeA: 0, transposeB: 1, activation: 0 })
  return x.rank === 2 ? y : reshape(y, [...x.shape.slice(0, -1), weight.shape[0]!])
}
