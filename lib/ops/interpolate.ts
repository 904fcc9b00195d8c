/**
 * Images of another size: every pixel of the result is made of source pixels along rows, then along columns,
 *
 *     nearest    source ⌊i · in / out⌋
 *     bilinear   source (i + ½) · in / out - ½, not below 0, or with aligned corners i · (in - 1) / (out - 1);
 *                (1 - f) · pixel below it + f · pixel above it, f its fractional part
 *
 * as PyTorch. Made of gather and elementwise operations, and so differentiable as often as one likes.
 */
import { fromData } from '../create.js'
import { checkChoice, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { add, mul } from './elementwise.js'
import { type Pair, pairOf, requireRank, toChannelsFirst, toChannelsLast } from './image.js'
import { gather } from './indexing.js'
import { requireFloat } from './reduce.js'
import { refuse } from './refuse.js'

export interface InterpolateOptions {
  /** [rows, columns] of the result. */
  size: Pair
  /** Default 'nearest'. */
  mode?: 'nearest' | 'bilinear'
  /** Bilinear only: the corner pixels of both images lie on each other. Default false. */
  alignCorners?: boolean
}

/**
 * x (N, C, H, W) resized to (N, C, ...size).
 *
 * @throws ERR_SHAPE for an image without pixels; ERR_ARGUMENT for a bad size or mode; ERR_DTYPE for integers.
 */
export function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  const name = 'interpolate'
  requireRank(name, 'input', x, 'N, C, H, W')
  requireFloat(x, name)
  const { mode = 'nearest', alignCorners = false } = checkOptions(name, options, ['size', 'mode', 'alignCorners'])
  const size = pairOf(name, 'size', options.size, 1)
  checkChoice(name, 'mode', mode, ['nearest', 'bilinear'])
  if (mode === 'nearest' && alignCorners) refuse(name, 'ERR_ARGUMENT', "alignCorners needs mode 'bilinear'")
  const from = x.shape.slice(2)
  if (from.some((dim) => dim < 1)) refuse(name, 'ERR_SHAPE', `the image has ${from.join(' x ')} pixels`)
  if (from.some((dim) => dim >= 2 ** 31)) refuse(name, 'ERR_UNSUPPORTED_OP', 'rows and columns must be known')
  const resize = mode === 'nearest' ? nearest : alignCorners ? bilinear(aligned) : bilinear(centred)
  return toChannelsFirst(resize(resize(toChannelsLast(x), 1, size[0]), 2, size[1]))
}

/** The place in a line of `from` pixels that pixel i of `to` shows. */
type Place = (i: number, from: number, to: number) => number

const centred: Place = (i, from, to) => Math.max(0, ((i + 0.5) * from) / to - 0.5)
const aligned: Place = (i, from, to) => (to > 1 ? (i * (from - 1)) / (to - 1) : 0)

/** x (N, H, W, C) resized along `axis`. */
function nearest(x: Tensor, axis: 1 | 2, to: number): Tensor {
  const from = x.shape[axis]!
  return pick(x, axis, to, (i) => Math.floor((i * from) / to))
}

function bilinear(place: Place) {
  return (x: Tensor, axis: 1 | 2, to: number): Tensor => {
    const from = x.shape[axis]!
    if (from === to) return x
    const below = (i: number) => Math.min(from - 1, Math.floor(place(i, from, to)))
    const low = pick(x, axis, to, below)
    const high = pick(x, axis, to, (i) => Math.min(from - 1, below(i) + 1))
    const weights = (of: (fraction: number) => number) => {
      const values = Float32Array.from({ length: to }, (_, i) => of(place(i, from, to) - below(i)))
      return fromData(values, axis === 1 ? [to, 1, 1] : [to, 1], 'float32')
    }
    // Not low + f · (high - low): the difference of infinite pixels is NaN.
    return add(
      mul(
        low,
        weights((f) => 1 - f),
      ),
      mul(
        high,
        weights((f) => f),
      ),
    )
  }
}

function pick(x: Tensor, axis: number, to: number, source: (i: number) => number): Tensor {
  const index = Int32Array.from({ length: to }, (_, i) => source(i))
  return gather(x, fromData(index, [to], 'int32'), { axis })
}
