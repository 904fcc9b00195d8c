/**
 * Operations that only passes make: `fused`, a chain of elementwise operations as one micro-program, and `copy`.
 *
 * A micro-program works on registers that hold one block of elements each. Registers 0..n-1 are the inputs, loaded with
 * broadcasting and converted to their lane (float32 for float dtypes, int32 for int32, uint8 and bool); each
 * instruction is four words:
 *
 *     opcode | lane << 16       lane of the operands: 0 float32, 1 int32
 *     dst | a << 8 | b << 16 | c << 24
 *     first attribute of the operation, its bits
 *     second attribute, its bits
 *
 * Several results of one micro-program, each of operands of its own, may be one step: operands of the result's size, or
 * of one element.
 *
 * `full` sets a register to an immediate. Comparisons and `cast` may leave another lane in dst than their operands'.
 */
import { DTYPES, type DType, dtypeCode, isFloat } from '../dtype.js'
import { fullOp } from './creation.js'
import { defineOp, opOfCode } from './registry.js'

/** Most registers a micro-program may use, and most inputs: blocks of all registers must fit the first-level cache. */
export const FUSED_MAX_REGISTERS = 24
export const FUSED_MAX_INPUTS = 12
export const FUSED_WORDS = 4

export function laneOf(dtype: DType): 0 | 1 {
  return isFloat(dtype) ? 0 : 1
}

export const fusedOp = defineOp({
  name: 'fused',
  code: 6,
  inputs: ['x...'],
  attrs: { dtype: 'i32', rank: 'i32', shape: 'i32x8', registers: 'i32', result: 'i32', code: 'i32[]' },
  infer: (_inputs, attrs) => [{ shape: attrs.shape.slice(0, attrs.rank), dtype: DTYPES[attrs.dtype]! }],
  grad: null,
  traits: {
    internal: true,
    inplaceAny: true,
    joins: {
      shared: 0,
      alike: (inputs, [y], { shape: _shape, rank: _rank, ...program }) => {
        const isOne = inputs.map(({ size }) => (size === y!.size ? 0 : 1))
        const plain = inputs.every((x, i) => !isOne[i] || x.size === 1)
        return plain ? { ...program, isOne, dtypes: inputs.map((x) => dtypeCode(x.dtype)) } : null
      },
    },
  },
  flops: (_inputs, outputs, attrs) =>
    (attrs.code.length / FUSED_WORDS) * outputs.reduce((sum, { size }) => sum + size, 0),
  describe: ({ code }) => operationsIn(code),
  reference: null,
})

/** The names of a micro-program's operations, in the order in which they run. */
function operationsIn(code: readonly number[]): string[] {
  const heads = code.filter((_, at) => at % FUSED_WORDS === 0)
  return heads.map((head) => opOfCode(head & 0xffff)).flatMap((op) => (op && op !== fullOp ? [op.name] : []))
}

/** The same bytes in another place: how a computed value gets into a variable. */
export const copyOp = defineOp({
  name: 'copy',
  code: 7,
  inputs: ['x'],
  attrs: {},
  infer: ([x]) => [x!.type],
  grad: null,
  traits: { internal: true },
  reference: null,
})
