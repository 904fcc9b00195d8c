/**
 * What the machine offers: devices(), cudaStatus(), setThreads().
 */
import { ForjaError } from '../errors.js'
import { loadAddon } from './addon.js'
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

export interface CudaStatus {
  available: boolean
  /** Why not, where it is not. */
  reason?: string
  devices: CudaDeviceInfo[]
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
  return [...cpu, ...(await cudaStatus()).devices]
}

/** Whether CUDA can be used, and if not, why. */
export async function cudaStatus(): Promise<CudaStatus> {
  const found = loadAddon().devices('cuda')
  const devices = found.devices.map(
    ({ index, name, isa, memoryBytes }): CudaDeviceInfo => ({
      id: `cuda:${index}`,
      kind: 'cuda',
      name,
      isa,
      memoryBytes,
    }),
  )
  return devices.length > 0 ? { available: true, devices } : { available: false, reason: found.reason, devices: [] }
}

/**
 * CPU threads of all programs from their next run on; also FORJA_NUM_THREADS. Default: every core this process may use.
 *
 * @throws ERR_ARGUMENT unless count is an integer in [1, 1024].
 */
export async function setThreads(count: number): Promise<void> {
  if (!Number.isInteger(count) || count < 1 || count > 1024) {
    throw new ForjaError('ERR_ARGUMENT', `setThreads: an integer in [1, 1024] was expected, got ${count}`)
  }
  threads = count
  await cpu().native.setThreads(count)
}

/** GFLOP/s of multiply-adds and GB/s of a copy (bytes read plus written) on `count` threads, measured now. */
export async function measureCeilings(count: number): Promise<{ fmaGflops: number; copyGbytes: number }> {
  return await cpu().native.ceilings(count)
}

function cpu(): AddonDevice {
  const device = resolveDevice('cpu')
  if (!(device instanceof AddonDevice)) throw new ForjaError('ERR_INTERNAL', 'the CPU device is not native')
  return device
}
