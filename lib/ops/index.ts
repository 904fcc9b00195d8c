/** Every operation family, so that importing this file fills the registry. */

export * from './activation.js'
export * from './axis.js'
export * from './creation.js'
export * from './elementwise.js'
export * from './fused.js'
export * from './indexing.js'
export * from './loss.js'
export * from './matmul.js'
export * from './reduce.js'
export * from './shape.js'
export * from './slice.js'
export * from './softmax.js'
