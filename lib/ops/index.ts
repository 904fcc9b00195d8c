/** Every operation family, so that importing this file fills the registry. */

export * from './activation.js'
export * from './conv.js'
export * from './creation.js'
export * from './elementwise.js'
export * from './fused.js'
export * from './matmul.js'
export * from './pool.js'
export * from './reduce.js'
export * from './shape.js'
