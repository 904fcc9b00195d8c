import { type Initializer, uniform } from './init.js'

/** The default of linear, convolution and recurrent layers, weights and biases: [-1/√fanIn, 1/√fanIn). */
export function fanInUniform(fanIn: number): Initializer {
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0
  return uniform({ low: -bound, high: bound })
}
