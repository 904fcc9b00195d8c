/**
 * The float64 interpreter as a Device: slow, obvious, the oracle of the tests. Runs the graph as it was written, so
 * that a mistake of a pass shows as a difference.
 */
import type { TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import type { ConstantSource, Graph, HostScalarSource, InputSource, TensorType, Value } from '../graph/graph.js'
import { printGraph } from '../graph/print.js'
import { fromRef, type RefArray, refArray, toRef } from '../reference/array.js'
import { interpret } from '../reference/interpret.js'
import type { Device, DeviceBuffer, Executable } from './device.js'
import type { VariableState } from './state.js'

export class ReferenceDevice implements Device {
  readonly id = 'reference'
  readonly kind = 'reference'
  readonly memoryBytes = Number.POSITIVE_INFINITY

  supportsDType(): boolean {
    return true
  }

  createBuffer(type: TensorType): ReferenceBuffer {
    return new ReferenceBuffer(this, type)
  }

  async compile(graph: Graph): Promise<Executable> {
    const buffers = new Map<VariableState, ReferenceBuffer>()
    for (const variable of variablesOf(graph)) buffers.set(variable, (await variable.on(this)) as ReferenceBuffer)
    return new ReferenceExecutable(graph, buffers)
  }
}

function variablesOf(graph: Graph): Set<VariableState> {
  const read = graph.nodes().filter((node) => node.source?.kind === 'variable')
  return new Set([...read.map((node) => node.source), ...graph.assignments.map((a) => a.variable)] as VariableState[])
}

/** Elements stay float64 between programs. */
class ReferenceBuffer implements DeviceBuffer {
  array: RefArray

  constructor(
    readonly device: ReferenceDevice,
    readonly type: TensorType,
  ) {
    this.array = refArray(type.shape, type.dtype)
  }

  async write(data: TypedArray): Promise<void> {
    this.array = toRef(this.type.shape, this.type.dtype, data)
  }

  fill(data: TypedArray): Promise<void> {
    return this.write(data)
  }

  async read(): Promise<TypedArray> {
    return fromRef(this.array)
  }

  dispose(): void {
    this.array = refArray([0], this.type.dtype)
  }
}

class ReferenceExecutable implements Executable {
  readonly inputs: readonly { source: InputSource | HostScalarSource; type: TensorType }[]
  readonly bytes = 0
  #disposed = false

  constructor(
    private readonly graph: Graph,
    private readonly buffers: ReadonlyMap<VariableState, ReferenceBuffer>,
  ) {
    this.inputs = graph
      .nodes()
      .filter((node) => node.source?.kind === 'input' || node.source?.kind === 'hostScalar')
      .map((node) => ({ source: node.source as InputSource | HostScalarSource, type: node.outputs[0]!.type }))
  }

  async run(inputs: readonly TypedArray[], signal?: AbortSignal): Promise<TypedArray[]> {
    signal?.throwIfAborted()
    return this.runExact(
      inputs.map((data, i) => toRef(this.inputs[i]!.type.shape, this.inputs[i]!.type.dtype, data)),
    ).map(fromRef)
  }

  /** As run, without rounding inputs and outputs to their dtypes. */
  runExact(inputs: readonly RefArray[]): RefArray[] {
    if (this.#disposed) throw new ForjaError('ERR_DISPOSED', 'the compiled program was disposed')
    const given = new Map(this.inputs.map(({ source }, i) => [source, inputs[i]!]))
    const values = interpret(this.graph, (value: Value) => {
      const { source } = value.node
      if (source?.kind === 'variable') return this.buffers.get(source as VariableState)!.array
      if (source?.kind === 'constant') return toRef(value.shape, value.dtype, (source as ConstantSource).data)
      return given.get(source as InputSource)!
    })
    const outputs = this.graph.outputs.map((output) => values.get(output)!)
    const updates = this.graph.assignments.map(({ variable, value }) => ({ variable, array: values.get(value)! }))
    for (const { variable, array } of updates) this.buffers.get(variable as VariableState)!.array = array
    return outputs
  }

  isBound(): boolean {
    for (const [variable, buffer] of this.buffers) if (variable.placed !== buffer) return false
    return true
  }

  async profile(): Promise<never> {
    throw new ForjaError('ERR_DEVICE', "the 'reference' device cannot be profiled")
  }

  explain(): string {
    return printGraph(this.graph)
  }

  dispose(): void {
    this.#disposed = true
  }
}
