/** A compiled program as text: every step with its kernel, shapes and place, then the memory plan. */
import type { Node, Value } from '../graph/graph.js'
import { printAttrs } from '../graph/print.js'
import { ACTIVATIONS, RELU_GRAD } from '../ops/activation.js'
import { optionalInputs } from '../ops/registry.js'
import type { Program } from '../passes/emit.js'
import { storageOf } from '../passes/storage.js'
import { byteSize } from '../shape.js'

export function explainProgram(program: Program, kernels: readonly string[]): string {
  const { steps, commitIndex } = program.schedule
  const rows = steps.map((step, i) => {
    const { node } = step
    const result = list(node.outputs.map((o) => `${o.dtype}[${o.shape.join(',')}]`))
    const places = list(step.outputs.map((output) => ('node' in output ? place(program, output) : `'${output.name}'`)))
    return [`${i}`, operation(node), result, kernels[i] ?? '', places, node.name ?? '']
  })
  const header = ['#', 'operation', 'result', 'kernel', 'memory', 'layer']
  const widths = header.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, c) => cell.padEnd(widths[c]!))
      .join('  ')
      .trimEnd()
  const { plan } = program
  return [
    line(header),
    ...rows.flatMap((row, i) =>
      i === commitIndex && i > 0 ? ['-- commit: variables are written from here --', line(row)] : [line(row)],
    ),
    '',
    `${steps.length} steps, ${commitIndex} before the commit · program ${program.bytes.length} bytes`,
    `memory: arena ${megabytes(plan.arenaBytes)}, ${percent(plan.arenaBytes, plan.naiveBytes)} of the ${megabytes(plan.naiveBytes)} of all values, ${plan.inPlace} in place`,
  ].join('\n')
}

/** `conv2d + bias + relu {stride=[1,1] ..}`: with what the passes gave it to do. */
function operation(node: Node): string {
  const { activation = 0, ...rest } = node.attrs
  const absorbed = activation === 0 ? [] : [ACTIVATIONS[activation as number]!]
  const described = node.op.describe?.(node.attrs)
  const attrs = described ? ` {${list(described)}}` : printAttrs(rest)
  // ReLU's result is what its gradient reads, in the place of a bias.
  const operands = activation === RELU_GRAD ? [] : optionalInputs(node)
  return [node.op.name, ...operands, ...absorbed].join(' + ') + attrs
}

/** Joined updates have hundreds of outputs. */
function list(items: readonly string[]): string {
  const most = 4
  return items.length > most
    ? `${items.slice(0, most - 1).join(' ')} and ${items.length - most + 1} more`
    : items.join(' ')
}

function place(program: Program, value: Value): string {
  const offset = program.plan.offsets.get(storageOf(value))
  return offset === undefined ? '' : `${offset}+${byteSize(value)}`
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 100 : Math.round((100 * part) / whole)} %`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`
}
