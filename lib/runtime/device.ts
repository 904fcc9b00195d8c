/**
 * Devices as the rest of the runtime sees them: something that holds buffers and compiles graphs. Implementations:
 * native_device.ts (CPU and CUDA) and reference_device.ts (the float64 interpreter).
 */
import { existsSync } from 'node:fs'
import type { DType, TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import type { Graph, HostScalarSource, InputSource, TensorType } from '../graph/graph.js'
import type { LowerOptions } from '../passes/lower.js'
import { loadAddon } from './addon.js'
import { AddonDevice } from './native_device.js'
import { notice } from './notice.js'
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
  /** One array per input; elements of each output, at once where the run was short. Variables change only if it succeeds. */
  run(inputs: readonly TypedArray[], signal?: AbortSignal): TypedArray[] | Promise<TypedArray[]>
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
  /** What it can hold at most. */
  readonly memoryBytes: number
  createBuffer(type: TensorType): DeviceBuffer
  compile(graph: Graph, options: CompileOptions): Promise<Executable>
  supportsDType(dtype: DType): boolean
}

const CUDA_NAME = /^cuda(?::(0|[1-9]\d*))?$/

let defaultName = 'auto'
let automaticName: string | undefined
const open = new Map<string, Device>()

/** Accepted wherever a device is named. */
export function resolveDevice(name: string = 'auto'): Device {
  let wanted = name === 'auto' ? defaultName : name
  if (wanted === 'auto') wanted = automaticName ??= chooseDevice()
  const id = wanted === 'cuda' ? 'cuda:0' : wanted
  const known = open.get(id)
  if (known) return known
  const device = openDevice(wanted)
  open.set(id, device)
  return device
}

/** FORJA_DEVICE where it is set; else the first GPU if CUDA can be used, else the CPU. */
function chooseDevice(): string {
  const asked = process.env.FORJA_DEVICE || 'auto'
  if (asked !== 'auto' && !CUDA_NAME.test(asked)) return asked
  const { devices, reason } = loadAddon().devices('cuda')
  if (devices.length > 0) return asked === 'auto' ? 'cuda:0' : asked
  if (asked !== 'auto') notice(`FORJA_DEVICE=${asked}, but the CPU is used: ${reason}`)
  else if (expectsGpu()) notice(`the CPU is used although this machine has an NVIDIA driver: ${reason}`)
  return 'cpu'
}

/** Whether a user of this machine counts on CUDA: its driver is loaded. */
export function expectsGpu(exists: (path: string) => boolean = existsSync): boolean {
  return ['/dev/nvidiactl', '/proc/driver/nvidia/version'].some(exists)
}

function openDevice(name: string): Device {
  if (name === 'cpu') return new AddonDevice('cpu', 'cpu')
  if (name === 'reference') return new ReferenceDevice()
  if (name === 'cuda-emulated') return new AddonDevice(name, 'cuda-emulated')
  const cuda = typeof name === 'string' ? CUDA_NAME.exec(name) : null
  if (cuda) return openCuda(name, Number(cuda[1] ?? 0))
  throw new ForjaError(
    'ERR_DEVICE',
    `unknown device ${describeGiven(name)}; expected 'auto', 'cpu', 'cuda', 'cuda:<n>' or 'reference'`,
  )
}

function openCuda(name: string, index: number): Device {
  const { devices, reason } = loadAddon().devices('cuda')
  if (devices.length === 0) {
    throw new ForjaError('ERR_DEVICE', `device '${name}' is not available: ${reason}`, { hint: "use 'cpu' or 'auto'" })
  }
  if (!devices.some((device) => device.index === index)) {
    const known = devices.map((device) => `'cuda:${device.index}'`).join(', ')
    throw new ForjaError('ERR_DEVICE', `there is no device '${name}'; CUDA has ${known}`)
  }
  return new AddonDevice(`cuda:${index}`, 'cuda', index)
}

/** The device that 'auto' and calls without a device use from now on. */
export function setDefaultDevice(name: string): void {
  resolveDevice(name)
  defaultName = name
}

export function defaultDevice(): Device {
  return resolveDevice('auto')
}
