/**
 * Convolution as users call it: images (N, C, H, W), weights (K, C/groups, R, S), as PyTorch. Each function wraps an
 * operation of conv.ts in transposes, which the layout pass cancels against their neighbours.
 */

import { checkChoice, checkInteger, checkOptions } from '../options.js'
import { formatShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { apply } from './apply.js'
import { requireTensors } from './check_call.js'
import { col2imOp, conv, convGradInput, im2colOp, outputSize, outputSizes, type WindowAttrs } from './conv.js'
import { add } from './elementwise.js'
import { type Pair, pairOf, requireRank, resolvePadding, toChannelsFirst, toChannelsLast } from './image.js'
import { refuse } from './refuse.js'
import { reshape, transpose } from './shape.js'
import { BORDER_MODES, type BorderMode, pad } from './slice.js'

export interface Conv2dOptions {
  /** Default 1. */
  stride?: Pair
  /**
   * Zeros added on both sides of rows and columns. 'valid' is 0; with 'same' the output has ⌈size / stride⌉ pixels,
   * an odd total giving the larger half to the bottom and right. Default 0.
   */
  padding?: Pair | 'same' | 'valid'
  /** Distance between the pixels a filter reads. Default 1. */
  dilation?: Pair
  /** Channels are split into this many groups that do not see each other. Default 1. */
  groups?: number
  /** What the padding holds: zeros, the pixels mirrored at the edge, the edge repeated, or the other side. Default 'zeros'. */
  paddingMode?: 'zeros' | BorderMode
}

export interface ConvTranspose2dOptions {
  /** Default 1. */
  stride?: Pair
  /** Rows and columns cut off on both sides of the result. Default 0. */
  padding?: Pair
  /** Rows and columns added at the bottom and right; smaller than the stride, also where the dilation is larger. Default 0. */
  outputPadding?: Pair
  /** Default 1. */
  dilation?: Pair
  /** Default 1. */
  groups?: number
}

export interface Conv1dOptions {
  stride?: number | readonly [number]
  padding?: number | readonly [number] | 'same' | 'valid'
  dilation?: number | readonly [number]
  groups?: number
  paddingMode?: 'zeros' | BorderMode
}

export interface Im2colOptions {
  kernelSize: Pair
  /** Default 1. */
  stride?: Pair
  /** Default 0. */
  padding?: Pair
  /** Default 1. */
  dilation?: Pair
}

export interface Col2imOptions extends Im2colOptions {
  /** [H, W] of the image. */
  outputSize: Pair
}

/**
 * Correlates x (N, C, H, W) with weight (K, C/groups, R, S), adds bias (K,): (N, K, OH, OW). Some kernels multiply pixels
 * outside of a window by 0: one that is infinite or NaN can make its neighbours' results NaN, too.
 *
 * @throws ERR_SHAPE where channels do not agree or the filter does not fit; ERR_ARGUMENT for bad options.
 */
export function conv2d(x: Tensor, weight: Tensor, bias?: Tensor | null, options: Conv2dOptions = {}): Tensor {
  requireRank('conv2d', 'input', x, 'N, C, H, W')
  requireRank('conv2d', 'weight', weight, 'K, C/groups, R, S')
  return convolve('conv2d', x, weight, weight.shape, bias, options)
}

/** Correlates x (N, C, L) with weight (K, C/groups, R), adds bias (K,): (N, K, OL). Options as conv2d's. */
export function conv1d(x: Tensor, weight: Tensor, bias?: Tensor | null, options: Conv1dOptions = {}): Tensor {
  requireRank('conv1d', 'input', x, 'N, C, L')
  requireRank('conv1d', 'weight', weight, 'K, C/groups, R')
  const [n, c, length] = x.shape as [number, number, number]
  const [k, perGroup, r] = weight.shape as [number, number, number]
  // One row of pixels: lengths become columns.
  const row = (what: string, value: number | readonly [number], least: number, other: number): [number, number] => [
    other,
    pairOf('conv1d', what, Array.isArray(value) && value.length === 1 ? value[0] : value, least)[1],
  ]
  const {
    stride = 1,
    padding = 0,
    dilation = 1,
    groups = 1,
    paddingMode = 'zeros',
  } = checkOptions('conv1d', options, CONV_OPTIONS)
  const wide: Conv2dOptions = {
    stride: row('stride', stride, 1, 1),
    padding: typeof padding === 'string' ? padding : row('padding', padding, 0, 0),
    dilation: row('dilation', dilation, 1, 1),
    groups,
    paddingMode,
  }
  const y = convolve(
    'conv1d',
    reshape(x, [n, c, 1, length]),
    reshape(weight, [k, perGroup, 1, r]),
    weight.shape,
    bias,
    wide,
  )
  return reshape(y, [n, k, y.shape[3]!])
}

/** @internal */
export const CONV_OPTIONS = ['stride', 'padding', 'dilation', 'groups', 'paddingMode'] as const

/** conv2d on checked ranks; `shown`: the weight's shape as the user gave it. */
function convolve(
  name: string,
  x: Tensor,
  weight: Tensor,
  shown: readonly number[],
  bias: Tensor | null | undefined,
  options: Conv2dOptions,
): Tensor {
  checkOptions(name, options, CONV_OPTIONS)
  const [, c, h, w] = x.shape as [number, number, number, number]
  const [k, perGroup, r, s] = weight.shape as [number, number, number, number]
  const { groups = 1 } = options
  checkInteger(name, 'groups', groups)
  if (c !== perGroup * groups) {
    const grouped = groups > 1 ? ` in ${groups} groups` : ''
    const expected = `expects ${perGroup * groups}${grouped}`
    refuse(name, 'ERR_SHAPE', `input has ${c} channels, weight ${formatShape(shown)} ${expected}`)
  }
  if (k % groups !== 0) refuse(name, 'ERR_SHAPE', `${k} filters do not divide into ${groups} groups`)
  checkBias(name, bias, k)
  const stride = pairOf(name, 'stride', options.stride ?? 1, 1)
  const dilation = pairOf(name, 'dilation', options.dilation ?? 1, 1)
  const padding = resolvePadding(name, options.padding ?? 0, [h, w], [r, s], stride, dilation)
  const attrs = { stride, padding, dilation, groups }
  checkFits(name, [h, w], [r, s], attrs)
  const last = toChannelsLast(x)
  const mode = checkChoice(name, 'paddingMode', options.paddingMode ?? 'zeros', ['zeros', ...BORDER_MODES])
  if (mode === 'zeros') return toChannelsFirst(conv(last, toFilters(weight), attrs, bias))
  const padded = padPixels(name, last, padding, mode)
  return toChannelsFirst(conv(padded, toFilters(weight), { ...attrs, padding: [0, 0, 0, 0] }, bias))
}

/** @internal */
export const CONV_TRANSPOSE_OPTIONS = ['stride', 'padding', 'outputPadding', 'dilation', 'groups'] as const

/**
 * The adjoint of conv2d, upsampling for stride > 1: x (N, C, H, W), weight (C, K/groups, R, S), bias (K,) →
 * (N, K, (H - 1)·stride - 2·padding + dilation·(R - 1) + outputPadding + 1, ...).
 *
 * @throws ERR_SHAPE where channels do not agree or nothing is left; ERR_ARGUMENT for bad options.
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options: ConvTranspose2dOptions = {},
): Tensor {
  const name = 'convTranspose2d'
  requireRank(name, 'input', x, 'N, C, H, W')
  requireRank(name, 'weight', weight, 'C, K/groups, R, S')
  checkOptions(name, options, CONV_TRANSPOSE_OPTIONS)
  const { groups = 1 } = options
  checkInteger(name, 'groups', groups)
  const [, c, h, w] = x.shape as [number, number, number, number]
  const [expected, perGroup, r, s] = weight.shape as [number, number, number, number]
  if (c !== expected) {
    refuse(
      name,
      'ERR_SHAPE',
      `input has ${c} channels, weight ${formatShape(weight.shape)} expects ${expected}`,
      'the weight of a transposed convolution is (input channels, output channels / groups, R, S)',
    )
  }
  if (c % groups !== 0) refuse(name, 'ERR_SHAPE', `${c} input channels do not divide into ${groups} groups`)
  checkBias(name, bias, perGroup * groups)
  const stride = pairOf(name, 'stride', options.stride ?? 1, 1)
  const dilation = pairOf(name, 'dilation', options.dilation ?? 1, 1)
  const [top, left] = pairOf(name, 'padding', options.padding ?? 0, 0)
  const extra = pairOf(name, 'outputPadding', options.outputPadding ?? 0, 0)
  if (extra[0] >= stride[0] || extra[1] >= stride[1]) {
    refuse(name, 'ERR_ARGUMENT', `outputPadding [${extra}] must be smaller than the stride [${stride}]`)
  }
  const grown = (size: number, axis: 0 | 1, taps: number, cut: number) =>
    (size - 1) * stride[axis] - 2 * cut + dilation[axis] * (taps - 1) + extra[axis] + 1
  const size = [grown(h, 0, r, top), grown(w, 1, s, left)] as const
  if (size[0] < 1 || size[1] < 1) {
    refuse(name, 'ERR_SHAPE', `padding [${top},${left}] leaves ${size[0]} x ${size[1]} pixels`)
  }
  const attrs = { stride, padding: [top, left, top, left], dilation, groups }
  const y = convGradInput(toChannelsLast(x), toFilters(weight), size, attrs)
  return toChannelsFirst(bias ? add(y, bias) : y)
}

/**
 * The patches that a convolution multiplies its weights with: x (N, C, H, W) → (N, C·R·S, OH·OW), as PyTorch's unfold.
 * conv2d(x, w) is matmul(w reshaped to (K, C·R·S), im2col(x)) reshaped to (N, K, OH, OW).
 */
export function im2col(x: Tensor, options: Im2colOptions): Tensor {
  requireRank('im2col', 'input', x, 'N, C, H, W')
  checkOptions('im2col', options, ['kernelSize', 'stride', 'padding', 'dilation'])
  const kernel = pairOf('im2col', 'kernelSize', options.kernelSize, 1)
  const attrs = windowOf('im2col', options)
  checkFits('im2col', x.shape.slice(2), kernel, attrs)
  const columns = apply(im2colOp, [toChannelsLast(x)], { ...attrs, kernel })
  const [n, oh, ow, r, s, c] = columns.shape as [number, number, number, number, number, number]
  return reshape(transpose(columns, [0, 5, 3, 4, 1, 2]), [n, c * r * s, oh * ow])
}

/**
 * The adjoint of im2col: sums columns (N, C·R·S, L) into the pixels they came from, (N, C, H, W), as PyTorch's fold.
 *
 * @throws ERR_SHAPE where L is not the number of windows in `outputSize`.
 */
export function col2im(columns: Tensor, options: Col2imOptions): Tensor {
  const name = 'col2im'
  requireRank(name, 'input', columns, 'N, C·R·S, L')
  checkOptions(name, options, ['outputSize', 'kernelSize', 'stride', 'padding', 'dilation'])
  const [r, s] = pairOf(name, 'kernelSize', options.kernelSize, 1)
  const size = pairOf(name, 'outputSize', options.outputSize, 1)
  const attrs = windowOf(name, options)
  checkFits(name, size, [r, s], attrs)
  const [n, rows, length] = columns.shape as [number, number, number]
  const [oh, ow] = outputSizes(size, [r, s], attrs)
  if (rows % (r * s) !== 0 || length !== oh * ow) {
    refuse(
      name,
      'ERR_SHAPE',
      `columns have shape ${formatShape(columns.shape)}; (N, C·${r * s}, ${oh * ow}) expected for an image of ${size[0]} x ${size[1]}`,
    )
  }
  const channelsLast = transpose(reshape(columns, [n, rows / (r * s), r, s, oh, ow]), [0, 4, 5, 2, 3, 1])
  return toChannelsFirst(apply(col2imOp, [channelsLast], { ...attrs, kernel: [r, s], size }))
}

/** x (N, H, W, C) with pixels around it that continue it. */
function padPixels(
  name: string,
  x: Tensor,
  [top, left, bottom, right]: readonly [number, number, number, number],
  mode: BorderMode,
): Tensor {
  const [h, w] = x.shape.slice(1, 3) as [number, number]
  const most = { reflect: [h - 1, w - 1], replicate: null, circular: [h, w] }[mode]
  if (most && (Math.max(top, bottom) > most[0]! || Math.max(left, right) > most[1]!)) {
    refuse(
      name,
      'ERR_ARGUMENT',
      `paddingMode ${mode} takes padding up to [${most}] of ${h} x ${w} pixels, got [${top},${left},${bottom},${right}]`,
    )
  }
  const pads = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ] as const
  return pad(x, { pads, mode })
}

/** (K, C, R, S) → (R, S, C, K). */
function toFilters(weight: Tensor): Tensor {
  return transpose(weight, [2, 3, 1, 0])
}

function windowOf(name: string, options: Im2colOptions): WindowAttrs {
  const [top, left] = pairOf(name, 'padding', options.padding ?? 0, 0)
  return {
    stride: pairOf(name, 'stride', options.stride ?? 1, 1),
    padding: [top, left, top, left],
    dilation: pairOf(name, 'dilation', options.dilation ?? 1, 1),
  }
}

function checkBias(name: string, bias: Tensor | null | undefined, channels: number): void {
  if (bias) requireTensors(name, { bias })
  if (bias && (bias.rank !== 1 || bias.shape[0] !== channels)) {
    refuse(name, 'ERR_SHAPE', `bias has shape ${formatShape(bias.shape)}; (${channels},) expected`)
  }
}

function checkFits(name: string, size: readonly number[], taps: readonly number[], attrs: WindowAttrs): void {
  const { stride, padding, dilation } = attrs
  for (const axis of [0, 1]) {
    const [before, after] = [padding[axis]!, padding[axis + 2]!]
    if (outputSize(size[axis]!, taps[axis]!, stride[axis]!, dilation[axis]!, before, after) < 1) {
      const padded = `${size[0]! + padding[0]! + padding[2]!} x ${size[1]! + padding[1]! + padding[3]!}`
      const reach = taps.map((t, i) => dilation[i]! * (t - 1) + 1).join(' x ')
      refuse(name, 'ERR_SHAPE', `a filter that reaches over ${reach} pixels does not fit ${padded} (padded) pixels`)
    }
  }
}
