/**
 * A device of the addon, CPU or GPU: graphs are lowered to programs and run by the addon's executor thread.
 */
import type { DType, TypedArray } from '../dtype.js'
import { sizeOf, viewAs } from '../dtype.js'
import { AbortError, ForjaError } from '../errors.js'
import type { Graph, TensorType, Value } from '../graph/graph.js'
import type { Program } from '../passes/emit.js'
import { lower } from '../passes/lower.js'
import { sizeOfShape } from '../shape.js'
import { type BackendName, loadAddon, type NativeBuffer, type NativeDevice, type NativeProgram } from './addon.js'
import type { CompileOptions, Device, DeviceBuffer, Executable, ProfileRow } from './device.js'
import { explainProgram } from './explain.js'
import type { VariableState } from './state.js'

/** Bytes that are copied in one turn of the event loop: about a millisecond. */
const FILL_BYTES = 4 << 20

export class AddonDevice implements Device {
  readonly kind: 'cpu' | 'cuda'
  readonly native: NativeDevice
  readonly memoryBytes: number

  constructor(
    readonly id: string,
    backend: BackendName,
    index = 0,
  ) {
    const addon = loadAddon()
    this.kind = backend === 'cpu' ? 'cpu' : 'cuda'
    this.native = new addon.Device(backend, index)
    this.memoryBytes = addon.devices(backend).devices.find((device) => device.index === index)!.memoryBytes
  }

  supportsDType(dtype: DType): boolean {
    return dtype !== 'float64'
  }

  createBuffer(type: TensorType): NativeDeviceBuffer {
    return new NativeDeviceBuffer(this, type)
  }

  async compile(graph: Graph, options: CompileOptions): Promise<Executable> {
    checkDTypes(graph, this)
    const program = await lower(graph, options)
    const constants: NativeDeviceBuffer[] = []
    const buffers: NativeBuffer[] = []
    const variables = new Map<VariableState, DeviceBuffer>()
    for (const { source, type } of program.buffers) {
      if (source.kind === 'variable') {
        const buffer = (await (source as VariableState).on(this)) as NativeDeviceBuffer
        variables.set(source as VariableState, buffer)
        buffers.push(buffer.native)
      } else {
        const buffer = this.createBuffer(type)
        constants.push(buffer)
        await buffer.fill(source.data)
        buffers.push(buffer.native)
      }
    }
    const native = await this.native.createProgram(program.bytes, buffers)
    return new NativeExecutable(program, native, constants, variables)
  }
}

/** ERR_DTYPE for a dtype that the device has no kernels for, naming the operation that makes it. */
function checkDTypes(graph: Graph, device: Device): void {
  for (const node of graph.nodes()) {
    const bad = node.outputs.find((output: Value) => !device.supportsDType(output.dtype))
    if (bad) {
      throw new ForjaError('ERR_DTYPE', `${node.op.name}: device '${device.id}' has no ${bad.dtype}`, {
        hint: "cast to float32, or use the 'reference' device",
      })
    }
  }
}

class NativeDeviceBuffer implements DeviceBuffer {
  readonly native: NativeBuffer
  readonly #bytes: number

  constructor(
    readonly device: AddonDevice,
    readonly type: TensorType,
  ) {
    this.#bytes = sizeOfShape(type.shape) * sizeOf(type.dtype)
    this.native = device.native.createBuffer(this.#bytes)
  }

  async write(data: TypedArray): Promise<void> {
    await this.native.write(0, data)
  }

  async fill(data: TypedArray): Promise<void> {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    for (let at = 0; at < bytes.length; at += FILL_BYTES)
      await this.native.write(at, bytes.subarray(at, at + FILL_BYTES))
  }

  async read(): Promise<TypedArray> {
    return viewAs(this.type.dtype, await this.native.read(0, this.#bytes))
  }

  dispose(): void {
    this.native.dispose()
  }
}

class NativeExecutable implements Executable {
  #disposed = false

  constructor(
    private readonly program: Program,
    private readonly native: NativeProgram,
    private readonly constants: readonly NativeDeviceBuffer[],
    private readonly variables: ReadonlyMap<VariableState, DeviceBuffer>,
  ) {}

  get bytes() {
    return this.program.plan.arenaBytes
  }

  get inputs() {
    return this.program.inputs
  }

  run(inputs: readonly TypedArray[], signal?: AbortSignal): TypedArray[] | Promise<TypedArray[]> {
    if (this.#disposed) throw new ForjaError('ERR_DISPOSED', 'the compiled program was disposed')
    const outputs = signal ? this.#runCancellable(inputs, signal) : this.native.run(inputs)
    return outputs instanceof Promise ? outputs.then((buffers) => this.#views(buffers)) : this.#views(outputs)
  }

  #views(buffers: readonly ArrayBuffer[]): TypedArray[] {
    return buffers.map((bytes, i) => viewAs(this.program.outputs[i]!.dtype, bytes))
  }

  async #runCancellable(inputs: readonly TypedArray[], signal: AbortSignal): Promise<ArrayBuffer[]> {
    signal.throwIfAborted()
    const token = new (loadAddon().CancelToken)()
    const cancel = () => token.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      return await this.native.run(inputs, token)
    } catch (error) {
      throw error instanceof AbortError && signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  isBound(): boolean {
    for (const [variable, buffer] of this.variables) if (variable.placed !== buffer) return false
    return true
  }

  async profile(inputs: readonly TypedArray[]): Promise<ProfileRow[]> {
    await this.native.profile(true)
    await this.run(inputs)
    const nanoseconds = await this.native.profile(false)
    const kernels = this.native.describe().trimEnd().split('\n')
    return this.program.schedule.steps.map(({ node }, i) => ({
      operation: node.op.name,
      kernel: kernels[i]!,
      layer: node.name ?? '',
      milliseconds: nanoseconds[i]! / 1e6,
    }))
  }

  explain(): string {
    return explainProgram(this.program, this.native.describe().trimEnd().split('\n'))
  }

  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.native.dispose()
    for (const constant of this.constants) constant.dispose()
  }
}
