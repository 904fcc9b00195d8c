/**
 * Activations and dropout as layers, for Sequential; in `forward` the functions of the same names are shorter.
 */

import {
  dropout,
  elu,
  gelu,
  hardswish,
  leakyRelu,
  logSoftmax,
  relu,
  relu6,
  selu,
  sigmoid,
  silu,
  softmax,
  softplus,
  tanh,
} from '../ops/index.js'
import { checkInteger, checkNumber, checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { Module } from './module.js'

/** max(x, 0) */
export class ReLU extends Module {
  override forward(x: Tensor): Tensor {
    return relu(x)
  }
}

/** min(max(x, 0), 6) */
export class ReLU6 extends Module {
  override forward(x: Tensor): Tensor {
    return relu6(x)
  }
}

/** x where positive, else alpha · x. */
export class LeakyReLU extends Module {
  readonly alpha: number

  constructor(options: { alpha?: number } = {}) {
    super()
    const { alpha = 0.01 } = checkOptions('LeakyReLU', options, ['alpha'])
    checkNumber('LeakyReLU', 'alpha', alpha)
    this.alpha = alpha
  }

  override forward(x: Tensor): Tensor {
    return leakyRelu(x, { alpha: this.alpha })
  }
}

/** x where positive, else alpha · (eˣ - 1). */
export class ELU extends Module {
  readonly alpha: number

  constructor(options: { alpha?: number } = {}) {
    super()
    const { alpha = 1 } = checkOptions('ELU', options, ['alpha'])
    checkNumber('ELU', 'alpha', alpha)
    this.alpha = alpha
  }

  override forward(x: Tensor): Tensor {
    return elu(x, { alpha: this.alpha })
  }
}

/** ELU with the constants that keep mean 0 and variance 1. */
export class SELU extends Module {
  override forward(x: Tensor): Tensor {
    return selu(x)
  }
}

/** x · Φ(x), Φ the distribution function of the normal distribution. */
export class GELU extends Module {
  override forward(x: Tensor): Tensor {
    return gelu(x)
  }
}

/** x · sigmoid(x) */
export class SiLU extends Module {
  override forward(x: Tensor): Tensor {
    return silu(x)
  }
}

/** log(1 + eˣ) */
export class Softplus extends Module {
  override forward(x: Tensor): Tensor {
    return softplus(x)
  }
}

/** 1 / (1 + e⁻ˣ) */
export class Sigmoid extends Module {
  override forward(x: Tensor): Tensor {
    return sigmoid(x)
  }
}

export class Tanh extends Module {
  override forward(x: Tensor): Tensor {
    return tanh(x)
  }
}

/** x · relu6(x + 3) / 6 */
export class Hardswish extends Module {
  override forward(x: Tensor): Tensor {
    return hardswish(x)
  }
}

/** eˣ / Σ eˣ over `axis`, default the last. */
export class Softmax extends Module {
  readonly axis: number

  constructor(options: { axis?: number } = {}) {
    super()
    const { axis = -1 } = checkOptions('Softmax', options, ['axis'])
    checkInteger('Softmax', 'axis', axis, -Infinity)
    this.axis = axis
  }

  override forward(x: Tensor): Tensor {
    return softmax(x, { axis: this.axis })
  }
}

/** log softmax(x) over `axis`, default the last. */
export class LogSoftmax extends Module {
  readonly axis: number

  constructor(options: { axis?: number } = {}) {
    super()
    const { axis = -1 } = checkOptions('LogSoftmax', options, ['axis'])
    checkInteger('LogSoftmax', 'axis', axis, -Infinity)
    this.axis = axis
  }

  override forward(x: Tensor): Tensor {
    return logSoftmax(x, { axis: this.axis })
  }
}

/** In training every element is 0 with probability p, else divided by 1 - p; in inference nothing happens. */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super()
    checkNumber('Dropout', 'p', p, 0, 1)
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training })
  }

  override detail(): string {
    return String(this.p)
  }
}
