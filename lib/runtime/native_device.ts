/**
 * A device of the addon, CPU or GPU: graphs are lowered to programs and run by the addon's executor thread.
 */
import { type DType, type TypedArray, viewAs } from '../dtype.js'
import { AbortError, ForjaError } from '../errors.js'
import type { Graph, TensorType, Value, VariableSource } from '../graph/graph.js'
import type { Program } from '../passes/emit.js'
import { type LowerOptions, lower } from '../passes/lower.js'
import { byteSize } from '../shape.js'
import { type BackendName, loadAddon, type NativeBuffer, type NativeDevice, type NativeProgram } from './addon.js'
import type { CompileOptions, Device, DeviceBuffer, Executable, ProfileRow } from './device.js'
import { explainProgram } from './explain.js'
import type { VariableState } from './state.js'

/** Bytes that are copied in one turn of the event loop: about a millisecond. */
const FILL_BYTES = 4 << 20

/** What passes should know of a kind of device. */
const LOWERING: Readonly<Record<'cpu' | 'cuda', Pick<LowerOptions, 'smallMaps' | 'branches'>>> = {
  cpu: { smallMaps: 'core' },
  cuda: { smallMaps: 'block', branches: true },
}

export class AddonDevice implements Device {
  readonly kind: 'cpu' | 'cuda'
  readonly native: NativeDevice
  readonly memoryBytes: number
  /** Grows with every write of a buffer. */
  writes = 0

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
    const { program, prepare } = await lower(graph, { ...options, ...LOWERING[this.kind] })
    const bound = new Map<VariableSource, NativeDeviceBuffer>()
    let prepared: Prepared | undefined
    try {
      if (prepare !== null) {
        for (const source of writtenBy(prepare)) bound.set(source, this.createBuffer(source.type))
        prepared = new Prepared(this, await this.#load(prepare, bound), [...bound.values()])
      }
      return await this.#load(program, bound, prepared)
    } catch (error) {
      if (prepared) prepared.dispose()
      else for (const buffer of bound.values()) buffer.dispose()
      throw error
    }
  }

  /** @param bound buffers of variables that are no VariableState */
  async #load(
    program: Program,
    bound: ReadonlyMap<VariableSource, NativeDeviceBuffer>,
    prepared?: Prepared,
  ): Promise<NativeExecutable> {
    const constants: NativeDeviceBuffer[] = []
    const buffers: NativeBuffer[] = []
    const variables = new Map<VariableSource, NativeDeviceBuffer>()
    try {
      for (const { source, type } of program.buffers) {
        let buffer: NativeDeviceBuffer
        if (source.kind === 'variable') {
          buffer = bound.get(source) ?? ((await (source as VariableState).on(this)) as NativeDeviceBuffer)
          variables.set(source, buffer)
        } else {
          buffer = this.createBuffer(type)
          constants.push(buffer)
          await buffer.fill(source.data)
        }
        buffers.push(buffer.native)
      }
      const native = await this.native.createProgram(program.bytes, buffers)
      return new NativeExecutable(program, native, constants, variables, prepared)
    } catch (error) {
      for (const constant of constants) constant.dispose()
      throw error
    }
  }
}

/** Derived variables are none: their buffers are the program's. */
function isState(variable: VariableSource): variable is VariableState {
  return 'placed' in variable
}

function sumOfBytes(buffers: readonly NativeDeviceBuffer[]): number {
  return buffers.reduce((sum, { bytes }) => sum + bytes, 0)
}

function writtenBy({ schedule }: Program): VariableSource[] {
  const outputs = schedule.steps.flatMap((step) => step.outputs)
  return outputs.filter((output): output is VariableSource => !('node' in output))
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
  /** Grows with every write. */
  version = 0
  readonly bytes: number

  constructor(
    readonly device: AddonDevice,
    readonly type: TensorType,
  ) {
    this.bytes = byteSize(type)
    this.native = device.native.createBuffer(this.bytes)
  }

  /** To be called when a write is handed over: runs that begin later see it. */
  written(): void {
    this.version++
    this.device.writes++
  }

  async write(data: TypedArray): Promise<void> {
    this.written()
    await this.native.write(0, data)
  }

  async fill(data: TypedArray): Promise<void> {
    this.written()
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    for (let at = 0; at < bytes.length; at += FILL_BYTES)
      await this.native.write(at, bytes.subarray(at, at + FILL_BYTES))
  }

  async read(): Promise<TypedArray> {
    return viewAs(this.type.dtype, await this.native.read(0, this.bytes))
  }

  dispose(): void {
    this.native.dispose()
  }
}

class NativeExecutable implements Executable {
  #disposed = false
  readonly #written: readonly NativeDeviceBuffer[]

  constructor(
    private readonly program: Program,
    private readonly native: NativeProgram,
    private readonly constants: readonly NativeDeviceBuffer[],
    readonly variables: ReadonlyMap<VariableSource, NativeDeviceBuffer>,
    private readonly prepared?: Prepared,
  ) {
    this.#written = writtenBy(program).map((source) => variables.get(source)!)
  }

  get bytes(): number {
    return sumOfBytes(this.constants) + this.program.plan.arenaBytes + (this.prepared?.bytes ?? 0)
  }

  get inputs() {
    return this.program.inputs
  }

  run(inputs: readonly TypedArray[], signal?: AbortSignal): TypedArray[] | Promise<TypedArray[]> {
    const ready = this.#begin()
    const outputs = signal ? this.#runCancellable(inputs, signal) : this.native.run(inputs)
    if (ready) return Promise.all([outputs, ready]).then(([buffers]) => this.#views(buffers))
    return outputs instanceof Promise ? outputs.then((buffers) => this.#views(buffers)) : this.#views(outputs)
  }

  /** Before every run; a promise of what it must wait for. */
  #begin(): Promise<unknown> | undefined {
    if (this.#disposed) throw new ForjaError('ERR_DISPOSED', 'the compiled program was disposed')
    const ready = this.prepared?.refresh()
    for (const buffer of this.#written) buffer.written()
    return ready
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
    for (const [variable, buffer] of this.variables) {
      if (isState(variable) && variable.placed !== buffer) return false
    }
    return this.prepared?.program.isBound() ?? true
  }

  async profile(inputs: readonly TypedArray[]): Promise<ProfileRow[]> {
    await this.native.profile(true)
    let nanoseconds: Float64Array
    try {
      const ready = this.#begin()
      await Promise.all([this.native.run(inputs, undefined, true), ready])
    } finally {
      nanoseconds = await this.native.profile(false)
    }
    const kernels = this.native.describe().trimEnd().split('\n')
    return this.program.schedule.steps.map(({ node }, i) => ({
      operation: node.op.name,
      kernel: kernels[i]!,
      layer: node.name ?? '',
      milliseconds: nanoseconds[i]! / 1e6,
    }))
  }

  explain(): string {
    const text = explainProgram(this.program, this.native.describe().trimEnd().split('\n'))
    return this.prepared
      ? `${text}\n\nprepared of the parameters, again where one is written:\n${this.prepared.program.explain()}`
      : text
  }

  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.native.dispose()
    for (const constant of this.constants) constant.dispose()
    this.prepared?.dispose()
  }
}

/** The derived variables of a program (lib/passes/hoist.ts), and the program that writes them. */
class Prepared {
  /** What they are made of. */
  readonly #sources: readonly NativeDeviceBuffer[]
  /** Of the sources, when they were made last; null: they were not. */
  #versions: readonly number[] | null = null
  /** `device.writes` when they were last known to be up to date. */
  #checkedAt = -1

  constructor(
    private readonly device: AddonDevice,
    readonly program: NativeExecutable,
    private readonly derived: readonly NativeDeviceBuffer[],
  ) {
    const own = new Set(derived)
    this.#sources = [...program.variables.values()].filter((buffer) => !own.has(buffer))
  }

  get bytes(): number {
    return sumOfBytes(this.derived) + this.program.bytes
  }

  /** Makes them anew where a source was written, before what is handed to the device next. */
  refresh(): Promise<unknown> | undefined {
    if (this.#checkedAt === this.device.writes) return undefined
    const versions = this.#sources.map((buffer) => buffer.version)
    const isOld = !this.#versions?.every((version, i) => version === versions[i])
    const run = isOld ? this.program.run([]) : undefined
    this.#versions = versions
    this.#checkedAt = this.device.writes
    if (!(run instanceof Promise)) return undefined
    const done = run.catch((error: unknown) => {
      this.#versions = null
      this.#checkedAt = -1
      throw error
    })
    done.catch(() => {}) // where the run that waits for it fails on its own
    return done
  }

  dispose(): void {
    this.program.dispose()
    for (const buffer of this.derived) buffer.dispose()
  }
}
