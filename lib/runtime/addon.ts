/**
 * Finds and loads the native addon, and describes it: the only place that knows its shape.
 *
 * Order: FORJA_NATIVE_PATH, then the local build. What failed and the command that mends it are in the error.
 */
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TypedArray } from '../dtype.js'
import { AbortError, ForjaError, type ForjaErrorCode } from '../errors.js'
import { notice } from './notice.js'

export interface NativeBuffer {
  /** Writes at byte `offset`; the array's bytes are copied before it returns. */
  write(offset: number, data: TypedArray): Promise<void>
  read(offset: number, bytes: number): Promise<ArrayBuffer>
  dispose(): void
}

export interface NativeProgram {
  /**
   * One typed array per input; the outputs' bytes, none `withoutOutputs`, and without a promise where the last run was
   * short and nothing waits.
   */
  run(
    inputs: readonly TypedArray[],
    token?: NativeCancelToken,
    withoutOutputs?: boolean,
  ): ArrayBuffer[] | Promise<ArrayBuffer[]>
  /** One line per instruction: the kernel that runs it. */
  describe(): string
  /** Nanoseconds per instruction of the last run; from then on measured if `enable`. */
  profile(enable: boolean): Promise<Float64Array>
  dispose(): void
}

export interface NativeDevice {
  createBuffer(bytes: number): NativeBuffer
  createProgram(bytes: Uint8Array, buffers: readonly NativeBuffer[]): Promise<NativeProgram>
  /** 0 for the default. */
  setThreads(threads: number): Promise<void>
  /** The machine's own limits, measured now: GFLOP/s of fused multiply-adds, GB/s of a copy (bytes read + written). */
  ceilings(threads: number): Promise<{ fmaGflops: number; copyGbytes: number }>
  dispose(): void
}

export interface NativeCancelToken {
  cancel(): void
}

/** What the addon runs programs with; 'cuda-emulated' is for tests. */
export type BackendName = 'cpu' | 'cuda' | 'cuda-emulated'

export interface NativeDeviceInfo {
  index: number
  name: string
  isa: string
  threads: number
  memoryBytes: number
}

export interface Addon {
  Device: new (backend: BackendName, index: number) => NativeDevice
  Buffer: new () => NativeBuffer
  Program: new () => NativeProgram
  CancelToken: new () => NativeCancelToken
  /** What a backend can run on; the reason is empty unless that is nothing. */
  devices(backend: BackendName): { devices: NativeDeviceInfo[]; reason: string }
  /** Whether the backend has a kernel; variant 0 means any. */
  supports(backend: BackendName, opcode: number, variant: number): boolean
  /** A line for each library that kernels may use: name, version and path, or name, '' and why not, between tabs. */
  libraries(backend: BackendName): string
  /** Throws what the decoder has against these bytes. */
  checkProgram(bytes: Uint8Array): void
  /** Bytes outside the JavaScript heap that V8 was told of; process.memoryUsage() does not show them. */
  externalMemory(): number
  setErrorFactory(factory: (code: string, message: string, instruction: number) => Error): void
  /** Gets what a call that succeeded has to say: that it could not go about it as meant. */
  setNoticeHandler(handler: (text: string) => void): void
  abiVersion: number
}

const ABI_VERSION = 6
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
let loaded: { addon: Addon; path: string } | undefined

/** The addon; ERR_BACKEND_UNAVAILABLE with everything that was tried where it cannot be loaded. */
export function loadAddon(): Addon {
  return load().addon
}

/** The file that was loaded. */
export function addonPath(): string {
  return load().path
}

/** Never `require`, which would run a file that does not end in .node as JavaScript. */
function openAddon(path: string): Addon {
  const module = { exports: {} as Addon }
  process.dlopen(module, path)
  return module.exports
}

function load(): { addon: Addon; path: string } {
  if (loaded) return loaded
  const require = createRequire(import.meta.url)
  const given = process.env.FORJA_NATIVE_PATH
  const tried: string[] = []
  const attempt = (what: string, open: () => { addon: Addon; path: string }) => {
    try {
      const found = open()
      if (found.addon.abiVersion !== ABI_VERSION) {
        tried.push(`${what}: ABI version ${found.addon.abiVersion}, expected ${ABI_VERSION} (an old build?)`)
        return undefined
      }
      return found
    } catch (error) {
      tried.push(`${what}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
      return undefined
    }
  }
  loaded = given
    ? attempt(`FORJA_NATIVE_PATH=${given}`, () => ({ addon: openAddon(resolve(given)), path: resolve(given) }))
    : attempt(`local build under ${root}/build`, () => {
        const bindings = require('bindings') as (options: object) => Addon & { path: string }
        const path = bindings({ bindings: 'forja.node', module_root: root, path: true }) as unknown as string
        return { addon: openAddon(path), path }
      })
  if (!loaded) {
    throw new ForjaError(
      'ERR_BACKEND_UNAVAILABLE',
      `the native addon could not be loaded on ${process.platform}-${process.arch}, Node ${process.version}\n${tried.map((t) => `  tried ${t}`).join('\n')}`,
      {
        hint: 'build it with `npm rebuild forja`, in a checkout with `npm run build:native` (needs a C++17 compiler with OpenMP, and CMake 3.20 or newer)',
      },
    )
  }
  loaded.addon.setErrorFactory((code, message) =>
    code === 'ABORT_ERR' ? new AbortError(message) : new ForjaError(code as ForjaErrorCode, message),
  )
  loaded.addon.setNoticeHandler(notice)
  return loaded
}
