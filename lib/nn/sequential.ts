/**
 * Sequential: layers one after the other, called `0`, `1`, ...
 */
import { ForjaError } from '../errors.js'
import type { Tensor } from '../tensor.js'
import { Module } from './module.js'

export class Sequential extends Module<[x: Tensor]> {
  readonly layers: readonly Module[]

  constructor(...layers: Module[]) {
    super()
    layers.forEach((layer, i) => {
      if (!(layer instanceof Module)) {
        throw new ForjaError('ERR_ARGUMENT', `Sequential: argument ${i} must be a layer, got ${typeof layer}`)
      }
    })
    this.layers = layers
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer) => layer.forward(value), x)
  }

  override members(): [string, unknown][] {
    return [...this.layers].map((layer, i) => [String(i), layer])
  }

  override setMember(name: string, value: unknown): void {
    super.setMember(`layers.${name}`, value)
  }

  get length(): number {
    return this.layers.length
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.layers[Symbol.iterator]()
  }
}
