/**
 * Writes native/abi/ops.gen.h from the registry (`npm run gen`); with `--check` only compares, exit 1 if it is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ACTIVATIONS } from './activation.js'
import { fullOp } from './creation.js'
import './index.js'
import { FUSED_MAX_INPUTS, FUSED_MAX_REGISTERS, FUSED_WORDS } from './fused.js'
import { RANDOM_KINDS } from './random.js'
import { CELLS } from './recurrent.js'
import { type AnyOp, allOps } from './registry.js'
import { broadcastToOp } from './shape.js'

export const HEADER_PATH = fileURLToPath(new URL('../../native/abi/ops.gen.h', import.meta.url))

export function generateHeader(): string {
  const ops = allOps().filter((op) => !op.traits.leaf && !op.traits.view)
  const structs = ops.filter((op) => Object.keys(op.attrs).length > 0 && !op.traits.elementwise)
  // Broadcasting happens while inputs are loaded: it never becomes an instruction (passes/fuse.ts).
  const microOps = ops.filter((op) => op.traits.elementwise && op !== broadcastToOp)
  return [
    '/* Generated from lib/ops by `npm run gen`: do not edit. */',
    '/* clang-format off */',
    '#ifndef FORJA_ABI_OPS_GEN_H',
    '#define FORJA_ABI_OPS_GEN_H',
    '',
    '#include <stdint.h>',
    '',
    '#ifdef __cplusplus',
    '#define FJ_ATTRS_SIZE(type, bytes) static_assert(sizeof(struct type) == (bytes), #type)',
    '#else',
    '#define FJ_ATTRS_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)',
    '#endif',
    '',
    'enum fj_opcode {',
    ...ops.map((op) => `  ${opConstant(op)} = ${op.code},`),
    '};',
    '',
    `#define FJ_OP_LIMIT ${Math.max(...ops.map((op) => op.code)) + 1}`,
    '',
    '/* Name of an opcode, or a null pointer. */',
    'static inline const char* fj_op_name(uint32_t opcode) {',
    '  switch (opcode) {',
    ...ops.flatMap((op) => [`    case ${opConstant(op)}:`, `      return "${op.name}";`]),
    '    default:',
    '      return 0;',
    '  }',
    '}',
    '',
    '/* How many inputs the updates that an instruction joins share; those of one update after the other follow them. */',
    'static inline uint32_t fj_op_joins(uint32_t opcode) {',
    '  switch (opcode) {',
    ...ops
      .filter((op) => op.traits.joins?.shared)
      .map((op) => `    case ${opConstant(op)}: return ${op.traits.joins!.shared};`),
    '    default: return 0;',
    '  }',
    '}',
    '',
    '/* Whether the checks let bfloat16 maps through; a backend without kernels for them must refuse. */',
    'static inline int fj_op_may_be_narrow(uint32_t opcode) {',
    '  switch (opcode) {',
    ...ops.filter((op) => op.traits.narrow).map((op) => `    case ${opConstant(op)}:`),
    '      return 1;',
    '    default:',
    '      return 0;',
    '  }',
    '}',
    '',
    '/* Whether an update may write this output over this input, both in exactly one place. */',
    'static inline int fj_op_inplace(uint32_t opcode, uint32_t output, uint32_t input) {',
    ...ops.flatMap(inplaceLines),
    '  return 0;',
    '}',
    '',
    '/* Kernel variants; 0 lets the backend choose. */',
    ...ops.flatMap((op) =>
      (op.variants ?? []).map((v, i) => `#define FJ_${constant(op.name)}_${constant(v)} ${i + 1}`),
    ),
    '',
    '/* Name of a variant, or a null pointer. */',
    'static inline const char* fj_variant_name(uint32_t opcode, uint32_t variant) {',
    '  switch (opcode) {',
    ...ops.flatMap(variantLines),
    '    default:',
    '      return 0;',
    '  }',
    '}',
    '',
    '/* Values of the attribute `activation`. */',
    ...ACTIVATIONS.map((name, i) => `#define FJ_ACTIVATION_${constant(name)} ${i}`),
    '',
    '/* Values of the attribute `kind` of random. */',
    ...RANDOM_KINDS.map((name, i) => `#define FJ_RANDOM_${constant(name)} ${i}`),
    '',
    '/* Values of the attribute `cell` of recurrent. */',
    ...CELLS.map((name, i) => `#define FJ_CELL_${constant(name)} ${i}`),
    '',
    '/* Limits of a fused micro-program. */',
    `#define FJ_FUSED_MAX_REGISTERS ${FUSED_MAX_REGISTERS}`,
    `#define FJ_FUSED_MAX_INPUTS ${FUSED_MAX_INPUTS}`,
    `#define FJ_FUSED_WORDS ${FUSED_WORDS}`,
    '',
    '/* How many registers an operation of a micro-program reads; -1 where it cannot be in one. */',
    'static inline int fj_micro_arity(uint32_t opcode) {',
    '  switch (opcode) {',
    `    case ${opConstant(fullOp)}: return 0;`,
    ...microOps.map((op) => `    case ${opConstant(op)}: return ${op.inputs.length};`),
    '    default: return -1;',
    '  }',
    '}',
    '',
    '/* Attribute structs. A tail (`i32[]`) follows its struct; its length comes from the instruction. */',
    ...structs.flatMap(struct),
    '#endif',
    '',
  ].join('\n')
}

/** conv2dGradInput → CONV2D_GRAD_INPUT. */
function constant(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()
}

function opConstant(op: AnyOp): string {
  return `FJ_OP_${constant(op.name)}`
}

function inplaceLines(op: AnyOp): string[] {
  if (op.traits.inplaceAny) return [`  if (opcode == ${opConstant(op)}) return 1;`]
  return (op.traits.inplace ?? []).map(
    ([output, input]) => `  if (opcode == ${opConstant(op)} && output == ${output} && input == ${input}) return 1;`,
  )
}

function variantLines(op: AnyOp): string[] {
  const variants = op.variants ?? []
  if (variants.length === 0) return []
  return [
    `    case ${opConstant(op)}: {`,
    `      static const char* const kNames[] = {${variants.map((name) => `"${name}"`).join(', ')}};`,
    `      return variant >= 1 && variant <= ${variants.length} ? kNames[variant - 1] : 0;`,
    '    }',
  ]
}

function struct(op: AnyOp): string[] {
  const name = `fj_${constant(op.name).toLowerCase()}_attrs`
  const fields = Object.entries(op.attrs as Record<string, string>).filter(([, field]) => field !== 'i32[]')
  const tail = Object.entries(op.attrs as Record<string, string>).find(([, field]) => field === 'i32[]')
  const bytes = fields.reduce((total, [, field]) => total + 4 * Number(field.split('x')[1] ?? 1), 0)
  const note = tail ? [`/* then int32_t ${snake(tail[0])}[] */`] : []
  if (fields.length === 0) return [...note.map((n) => `/* ${name}: only ${n.slice(3)}`), '']
  return [
    `struct ${name} {`,
    ...fields.map(([field, type]) => {
      const count = type.split('x')[1]
      return `  ${type.startsWith('f32') ? 'float' : 'int32_t'} ${snake(field)}${count ? `[${count}]` : ''};`
    }),
    `}; ${note.join('')}`.trimEnd(),
    `FJ_ATTRS_SIZE(${name}, ${bytes});`,
    '',
  ]
}

function snake(name: string): string {
  return constant(name).toLowerCase()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wanted = generateHeader()
  if (process.argv.includes('--check')) {
    if (readFileSync(HEADER_PATH, 'utf8') !== wanted) {
      process.stderr.write('native/abi/ops.gen.h is stale: run `npm run gen` and commit the result\n')
      process.exitCode = 1
    }
  } else {
    writeFileSync(HEADER_PATH, wanted)
  }
}
