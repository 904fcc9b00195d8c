/**
 * Devices as the rest of the runtime sees them: something that holds buffers and compiles graphs. Implementations:
 * native_device.ts (CPU) and reference_device.ts (the float64 interpreter).
 */
import type { DType, TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import type { Graph, HostScalarSource, InputSource, TensorType } from '../graph/graph.js'
import type { LowerOptions } from '../passes/lower.js'
import { NativeCpuDevice } from './native_device.js'
import { ReferenceDevice } from './reference_device.js'

/** Elements on a device, of one tensor. */
export interface DeviceBuffer {
  readonly device: Device
  /** In effect for every run that is started later. */
  write(data: TypedArray): Promise<void>
  /** As write, of a buffer that no program reads yet, in pieces between which the event loop turns. */
  fill(data: TypedArray): Promise<void>
  read(): Promise<TypedArray>
  dispose(): void
}

export interface CompileOptions extends LowerOptions {}

/** One step of a profiled run. */
export interface ProfileRow {
  readonly operation: string
  readonly kernel: string
  readonly layer: string
  readonly milliseconds: number
}

/** A graph made ready to run on a device. */
export interface Executable {
  readonly inputs: readonly { source: InputSource | HostScalarSource; type: TensorType }[]
  /** One array per input; elements of each output. Variables change only if it resolves. */
  run(inputs: readonly TypedArray[], signal?: AbortSignal): Promise<TypedArray[]>
  /** Memory that it holds on the device. */
  readonly bytes: number
  /** False once a variable was moved to another device and back: compile again. */
  isBound(): boolean
  explain(): string
  /** Runs once and times every step. */
  profile(inputs: readonly TypedArray[]): Promise<ProfileRow[]>
  dispose(): void
}

export interface Device {
  readonly id: string
  readonly kind: 'cpu' | 'cuda' | 'reference'
  createBuffer(type: TensorType): DeviceBuffer
  compile(graph: Graph, options: CompileOptions): Promise<Executable>
  supportsDType(dtype: DType): boolean
}

let defaultName = 'auto'
const open = new Map<string, Device>()

/** Accepted wherever a device is named. */
export function resolveDevice(name: string = 'auto'): Device {
  const wanted = name === 'auto' ? (defaultName === 'auto' ? 'cpu' : defaultName) : name
  const known = open.get(wanted)
  if (known) return known
  const device = openDevice(wanted)
  open.set(wanted, device)
  return device
}

function openDevice(name: string): Device {
  if (name === 'cpu') return new NativeCpuDevice()
  if (name === 'reference') return new ReferenceDevice()
  if (/^cuda(:\d+)?$/.test(name)) {
    throw new ForjaError('ERR_DEVICE', `device '${name}' is not available: this build has no CUDA module`, {
      hint: "use 'cpu' or 'auto'",
    })
  }
  throw new ForjaError(
    'ERR_DEVICE',
    `unknown device '${name}'; expected 'auto', 'cpu', 'cuda', 'cuda:<n>' or 'reference'`,
  )
}

/** The device that 'auto' and calls without a device use from now on. */
export function setDefaultDevice(name: string): void {
  resolveDevice(name)
  defaultName = name
}

export function defaultDevice(): Device {
  return resolveDevice('auto')
}
