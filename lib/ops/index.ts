/** Every operation family, so that importing this file fills the registry. */

export * from './activation.js'
export * from './cast.js'
export * from './compare.js'
export * from './creation.js'
export * from './define_elementwise.js'
export * from './elementwise.js'
export * from './fused.js'
export * from './math.js'
export * from './matmul.js'
export * from './operands.js'
export * from './reduce.js'
export * from './shape.js'
