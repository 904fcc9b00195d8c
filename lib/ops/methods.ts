/**
 * Every operation whose first operand is a tensor, as a method of that tensor: `x.add(y)` is `add(x, y)`.
 */
import { detach } from '../autodiff/detach.js'
import { Tensor } from '../tensor.js'
import { elu, gelu, hardswish, leakyRelu, relu, relu6, selu, sigmoid, silu, softplus, tanh } from './activation.js'
import { argMax, argMin, cumSum, sort, topK } from './axis.js'
import { cast } from './cast.js'
import {
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  logicalNot,
  logicalOr,
  notEqual,
  where,
} from './compare.js'
import { col2im, conv1d, conv2d, convTranspose2d, im2col } from './conv_api.js'
import { boxIou, nms, nmsPadded, roiAlign, roiPool } from './detection.js'
import { add, div, maximum, minimum, mul, neg, pow, sub } from './elementwise.js'
import { embedding, gather, oneHot, putAlongAxis, scatterAdd, takeAlongAxis } from './indexing.js'
import { interpolate } from './interpolate.js'
import {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  crossEntropy,
  huberLoss,
  klDivLoss,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
} from './loss.js'
import { abs, clamp, cos, erf, exp, expm1, log, log1p, reciprocal, rsqrt, sign, sin, sqrt, square } from './math.js'
import { linear, matmul } from './matmul.js'
import { batchNorm, groupNorm, layerNorm, localResponseNorm } from './norm_api.js'
import { adaptiveAvgPool2d, adaptiveMaxPool2d, avgPool2d, globalAvgPool2d, maxPool2d } from './pool_api.js'
import { dropout } from './random.js'
import { gru, lstm, rnn } from './recurrent_api.js'
import { all, any, max, mean, min, prod, sum, variance } from './reduce.js'
import { broadcastTo, flatten, reshape, squeeze, transpose, unsqueeze } from './shape.js'
import { flip, pad, slice, split, tile } from './slice.js'
import { logSoftmax, logSumExp, softmax } from './softmax.js'

const FUNCTIONS = {
  ...{ abs, add, clamp, cos, div, erf, exp, expm1, log, log1p, maximum, minimum, mul, neg, pow, reciprocal, rsqrt },
  ...{ sign, sin, sqrt, square, sub, where, cast, detach },
  ...{ equal, greater, greaterEqual, less, lessEqual, logicalAnd, logicalNot, logicalOr, notEqual },
  ...{ elu, gelu, hardswish, leakyRelu, relu, relu6, selu, sigmoid, silu, softplus, tanh, softmax, logSoftmax },
  ...{ all, any, argMax, argMin, cumSum, logSumExp, max, mean, min, prod, sort, sum, topK, variance },
  ...{ broadcastTo, flatten, flip, pad, reshape, slice, split, squeeze, tile, transpose, unsqueeze },
  ...{ embedding, gather, oneHot, putAlongAxis, scatterAdd, takeAlongAxis },
  ...{ linear, matmul, col2im, conv1d, conv2d, convTranspose2d, im2col },
  ...{ adaptiveAvgPool2d, adaptiveMaxPool2d, avgPool2d, globalAvgPool2d, maxPool2d },
  ...{ boxIou, interpolate, nms, nmsPadded, roiAlign, roiPool },
  ...{ batchNorm, dropout, groupNorm, layerNorm, localResponseNorm },
  ...{ gru, lstm, rnn },
  ...{ binaryCrossEntropy, binaryCrossEntropyWithLogits, crossEntropy, huberLoss, klDivLoss, l1Loss, mseLoss },
  ...{ nllLoss, smoothL1Loss },
}

type Method<F> = F extends (first: never, ...rest: infer Rest) => infer Result ? (...rest: Rest) => Result : never
type Methods = { [Name in keyof typeof FUNCTIONS]: Method<(typeof FUNCTIONS)[Name]> }

declare module '../tensor.js' {
  interface Tensor extends Methods {}
}

for (const [name, fn] of Object.entries(FUNCTIONS)) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return (fn as (first: Tensor, ...rest: unknown[]) => unknown)(this, ...rest)
    },
    writable: true,
    configurable: true,
  })
}
