/**
 * What the machine offers: devices(), cudaStatus(), setThreads().
 */
import { ForjaError } from '../errors.js'
import { checkInteger } from '../options.js'
import { type BackendName, loadAddon } from './addon.js'
import { resolveDevice } from './device.js'
import { AddonDevice } from './native_device.js'

export interface CpuDeviceInfo {
  id: 'cpu'
  kind: 'cpu'
  name: string
  /** Threads that programs run on. */
  threads: number
  /** Instruction set whose kernels run: avx512, avx2, neon or baseline. */
  isa: string
  memoryBytes: number
}

export interface CudaDeviceInfo {
  id: `cuda:${number}`
  kind: 'cuda'
  name: string
  /** 'compute 9.0': the GPU's generation. */
  isa: string
  memoryBytes: number
}

export type DeviceInfo = CpuDeviceInfo | CudaDeviceInfo

/** A library of NVIDIA's that is used where the machine has it and never needed. */
export interface CudaLibrary {
  name: 'cuBLASLt' | 'cuDNN'
  available: boolean
  /** Where it is available: its version, and the file. */
  version?: string
  path?: string
  /** Why not, where it is not. */
  reason?: string
}

export interface CudaStatus {
  available: boolean
  /** Why not, where it is not. */
  reason?: string
  devices: CudaDeviceInfo[]
  /** Of matrix products and of convolutions; none where CUDA is not available. */
  libraries: CudaLibrary[]
}

let threads: number | undefined

/** Every device that programs can run on. */
export async function devices(): Promise<DeviceInfo[]> {
  const cpu = loadAddon()
    .devices('cpu')
    .devices.map(
      ({ name, isa, threads: all, memoryBytes }): CpuDeviceInfo => ({
        id: 'cpu',
        kind: 'cpu',
        name,
        threads: threads ?? all,
        isa,
        memoryBytes,
      }),
    )
  return [...cpu, ...cudaDevices().devices]
}

/** Whether CUDA can be used, and if not, why. */
export async function cudaStatus(): Promise<CudaStatus> {
  const { devices, reason } = cudaDevices()
  if (devices.length === 0) return { available: false, reason, devices, libraries: [] }
  return { available: true, devices, libraries: librariesOf('cuda') }
}

/** What the backend found of NVIDIA's libraries; the first call opens them. */
export function librariesOf(backend: BackendName): CudaLibrary[] {
  const lines = loadAddon().libraries(backend).split('\n').slice(0, -1)
  return lines.map((line) => {
    const [name, version, text] = line.split('\t') as [CudaLibrary['name'], string, string]
    return version !== '' ? { name, available: true, version, path: text } : { name, available: false, reason: text }
  })
}

function cudaDevices(): { devices: CudaDeviceInfo[]; reason: string } {
  const { devices, reason } = loadAddon().devices('cuda')
  const described = devices.map(
    ({ index, name, isa, memoryBytes }): CudaDeviceInfo => ({
      id: `cuda:${index}`,
      kind: 'cuda',
      name,
      isa,
      memoryBytes,
    }),
  )
  return { devices: described, reason }
}

/** More is no number of threads, whatever the machine. */
export const MOST_THREADS = 1024

/**
 * CPU threads of all programs from their next run on; also FORJA_NUM_THREADS. Default: every core this process may use.
 * No more than 16, or four a processor where that is more, are started: others would only wait.
 *
 * @throws ERR_ARGUMENT unless count is an integer in [1, 1024].
 */
export async function setThreads(count: number): Promise<void> {
  checkInteger('setThreads', 'count', count, 1, MOST_THREADS)
  await native('cpu').native.setThreads(count)
  threads = count
}

/**
 * GFLOP/s of float32 multiply-adds and GB/s of a copy (bytes read plus written), measured now; of the CPU on `count`
 * threads.
 */
export async function measureCeilings(
  count: number,
  device = 'cpu',
): Promise<{ fmaGflops: number; copyGbytes: number }> {
  return await native(device).native.ceilings(count)
}

function native(name: string): AddonDevice {
  const device = resolveDevice(name)
  if (!(device instanceof AddonDevice)) throw new ForjaError('ERR_INTERNAL', `the device '${name}' is not native`)
  return device
}
