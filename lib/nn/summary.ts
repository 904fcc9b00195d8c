/**
 * What a network consists of: its layers in the order in which they run, with output shapes, parameters and
 * multiply-accumulates. Found by tracing `forward` on a lazy tensor: shapes are inferred, nothing is computed.
 *
 * A sample's multiply-accumulates (MACs) are those of convolutions and matrix products without their biases, half of
 * the floating-point operations that the registry counts for them. Shared parameters count once.
 */
import { zeros } from '../create.js'
import type { DType } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { topological, type Value } from '../graph/graph.js'
import { currentScope } from '../ops/registry.js'
import { byteSize, checkShape, type Shape } from '../shape.js'
import { Tensor } from '../tensor.js'
import type { Variable } from '../variable.js'
import { type AnyModule, observeCalls } from './module.js'

export interface SummaryOptions {
  /** The shape of a sample, [C, H, W], or of a batch, [N, C, H, W]. */
  input: Shape
  /** Default float32; int32 for networks that begin with an embedding. */
  dtype?: DType
  /** What to call the network. Default: its class. */
  name?: string
}

export interface LayerSummary {
  /** The path of the layer, `layer1.0.conv1`; '' for the network itself. */
  readonly name: string
  /** Its class. */
  readonly type: string
  /** Of the first tensor that the layer gives; batch first, N as given, else 1; null where it did not run. */
  readonly outputShape: readonly number[] | null
  readonly parameters: number
  /** Of one sample. */
  readonly macs: number
}

interface Row extends LayerSummary {
  readonly detail: string
  /** Dimension 0 is the batch. */
  readonly batched: boolean
}

export class Summary {
  readonly model: string
  readonly parameters: number
  readonly trainableParameters: number
  /** Of one sample. */
  readonly macs: number
  readonly layers: readonly LayerSummary[]
  readonly #rows: readonly Row[]
  readonly #bytes: number

  /** @internal */
  constructor(model: string, parameters: readonly Variable[], rows: readonly Row[]) {
    const count = (list: readonly Variable[]) => list.reduce((total, p) => total + p.size, 0)
    this.model = model
    this.parameters = count(parameters)
    this.trainableParameters = count(parameters.filter((p) => p.trainable))
    this.macs = rows.reduce((total, row) => total + row.macs, 0)
    this.layers = rows.map(({ name, type, outputShape, parameters, macs }) => ({
      name,
      type,
      outputShape,
      parameters,
      macs,
    }))
    this.#rows = rows
    this.#bytes = parameters.reduce((total, p) => total + byteSize(p), 0)
  }

  toJSON(): object {
    const { model, parameters, trainableParameters, macs, layers } = this
    return { model, parameters, trainableParameters, macs, layers }
  }

  toString(): string {
    const cells = this.#rows.map((row) => [
      `${row.name || this.model} (${row.type}${row.detail ? ` ${row.detail}` : ''})`,
      formatOutput(row),
      integer(row.parameters),
      integer(row.macs),
    ])
    const header = ['Layer (type)', 'Output shape', 'Params', 'MACs']
    const widths = header.map((title, c) => Math.max(title.length, ...cells.map((row) => row[c]!.length)))
    const line = (row: readonly string[]) =>
      ` ${row.map((cell, c) => (c < 2 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  ')}`
    const rule = ` ${'─'.repeat(widths.reduce((a, b) => a + b, 2 * (widths.length - 1)))}`
    const totals =
      ` Total params ${integer(this.parameters)} (${formatBytes(this.#bytes)}) · ` +
      `trainable ${integer(this.trainableParameters)} · MACs/sample ${integer(this.macs)}`
    return [` ${this.model}`, rule, line(header), rule, ...cells.map(line), rule, totals].join('\n')
  }
}

/** A layer that ran, or holds parameters and did not. */
interface Call {
  readonly path: string
  readonly module: AnyModule
  output: unknown
}

export function summarize(root: AnyModule, { input, dtype = 'float32', name }: SummaryOptions): Summary {
  checkShape(input, 'summary: input')
  if (input.length === 0) throw new ForjaError('ERR_SHAPE', 'summary: input is []; expected at least 1 dimension')
  const modes = root.namedModules().map(([, module]): [AnyModule, boolean] => [module, module.training])
  root.eval()
  try {
    const { calls, batch } = traceCalls(root, input, dtype)
    return new Summary(name ?? root.constructor.name, root.parameters(), buildRows(root, calls, batch))
  } finally {
    for (const [module, training] of modes) module.training = training
  }
}

/**
 * Traces one sample. `input` is taken as a batch where the network accepts that, else as a sample; where it accepts
 * neither, the error is that of the attempt that came further.
 */
function traceCalls(root: AnyModule, input: Shape, dtype: DType): { calls: Call[]; batch: number } {
  const asBatch = input.length > 1 ? attempt(root, input.slice(1), dtype) : null
  if (asBatch && !asBatch.failed) return { calls: asBatch.calls, batch: input[0]! }
  const asSample = attempt(root, input, dtype)
  if (!asSample.failed) return { calls: asSample.calls, batch: 1 }
  throw asBatch && asBatch.calls.length >= asSample.calls.length ? asBatch.error : asSample.error
}

interface Attempt {
  calls: Call[]
  failed: boolean
  error?: unknown
}

function attempt(root: AnyModule, sample: Shape, dtype: DType): Attempt {
  const calls: Call[] = []
  const observer = (module: AnyModule) => {
    const call: Call = { path: currentScope() ?? '', module, output: undefined }
    calls.push(call)
    return (output: unknown) => {
      call.output = output
    }
  }
  const forward = root.forward as (x: Tensor) => unknown
  try {
    observeCalls(observer, () => forward(zeros([1, ...sample], { dtype })))
    return { calls, failed: false }
  } catch (error) {
    return { calls, failed: true, error }
  }
}

function buildRows(root: AnyModule, calls: readonly Call[], batch: number): Row[] {
  const ran = new Set(calls.map((call) => call.module))
  const idle = root
    .namedModules()
    .filter(([, module]) => !ran.has(module) && module.ownVariables().length > 0)
    .map(([path, module]): Call => ({ path, module, output: undefined }))
  const macs = macsByPath(tensorsIn(calls[0]?.output).map((tensor) => tensor.value))
  const counted = new Set<Variable>()
  const rows: Row[] = []
  for (const { path, module, output } of [...calls, ...idle]) {
    const own = module.ownVariables().filter(([, v]) => !v.isBuffer && !counted.has(v))
    for (const [, variable] of own) counted.add(variable)
    const parameters = own.reduce((total, [, v]) => total + v.size, 0)
    const ownMacs = macs.get(path) ?? 0
    macs.delete(path)
    // Containers show only where they compute something themselves.
    if (module.namedChildren().length > 0 && parameters + ownMacs === 0) continue
    const shape = tensorsIn(output)[0]?.shape ?? null
    const batched = shape?.[0] === 1
    const outputShape = batched ? [batch, ...shape!.slice(1)] : shape && [...shape]
    const type = module.constructor.name
    rows.push({ name: path, type, detail: module.detail(), outputShape, parameters, macs: ownMacs, batched })
  }
  return rows
}

/** Multiply-accumulates of the layers that `outputs` need, by the path of the layer. */
function macsByPath(outputs: readonly Value[]): Map<string, number> {
  const macs = new Map<string, number>()
  for (const node of topological(outputs)) {
    if (!node.op.traits.product || !node.op.flops) continue
    const path = node.name ?? ''
    const flops = node.op.flops(node.inputs, node.outputs, node.attrs) as number
    macs.set(path, (macs.get(path) ?? 0) + flops / 2)
  }
  return macs
}

function tensorsIn(result: unknown): Tensor[] {
  if (result instanceof Tensor) return [result]
  return typeof result === 'object' && result !== null ? Object.values(result).flatMap(tensorsIn) : []
}

function formatOutput({ outputShape, batched }: Row): string {
  if (outputShape === null) return '-'
  return `(${outputShape.map((dim, axis) => (axis === 0 && batched ? 'N' : String(dim))).join(', ')})`
}

function integer(value: number): string {
  return value.toLocaleString('en-US')
}

function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, 'KiB'] : [bytes / 1024 ** 2, 'MiB']
  return `${value.toFixed(value < 100 ? 2 : 1)} ${unit}`
}
