/**
 * Fetching one file from a list of mirrors.
 *
 * The bytes go to `<to>.part`, which survives a failure or a cancelled call: the next attempt, on any mirror, asks for
 * the rest (HTTP Range). Only when the size and the SHA-256 of the whole agree is the part renamed to `to`, so `to`
 * is either complete or absent. A mirror whose connection breaks is asked again as long as each try brings more bytes.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AbortError, ForjaError } from '../errors.js'
import { requireArray } from '../ops/check_call.js'
import { checkInteger, checkOptions } from '../options.js'

export interface DownloadProgress {
  url: string
  /** Bytes that are here, those of earlier attempts included. */
  received: number
  total: number
}

export interface DownloadOptions {
  signal?: AbortSignal
  onProgress?: (progress: DownloadProgress) => void
  /** Give a mirror up when nothing arrives for so long. Default 30,000 ms. */
  timeoutMs?: number
}

export interface DownloadRequest {
  /** In the order in which they are tried. */
  urls: readonly string[]
  /** Path of the finished file. */
  to: string
  bytes: number
  sha256: string
}

const DEFAULT_TIMEOUT_MS = 30_000
/** What a timer can wait; it takes more for 1. */
const MOST_TIMEOUT_MS = 2 ** 31 - 1

/** Why one mirror did not do; collected and told together. */
class MirrorFailure extends Error {
  readonly checksum: boolean
  constructor(message: string, checksum = false) {
    super(message)
    this.checksum = checksum
  }
}

/** Resolves when `to` is complete. Rejects with ERR_CHECKSUM, ERR_OFFLINE (every URL and its reason) or AbortError. */
export async function download(request: DownloadRequest, options: DownloadOptions = {}): Promise<void> {
  requireArray('download', 'urls', request?.urls)
  checkInteger('download', 'bytes', request.bytes, 0)
  checkOptions('download', options, ['signal', 'onProgress', 'timeoutMs'])
  if (options.timeoutMs !== undefined) checkInteger('download', 'timeoutMs', options.timeoutMs, 1, MOST_TIMEOUT_MS)
  const failures: string[] = []
  let corrupted = false
  for (const url of request.urls) {
    try {
      await mkdir(dirname(request.to), { recursive: true })
      await fetchFrom(url, request, options)
      return
    } catch (error) {
      if (isFileFailure(error)) throw unwritable(request.to, error)
      if (!(error instanceof MirrorFailure)) throw error
      corrupted ||= error.checksum
      failures.push(`${url}: ${error.message}`)
    }
  }
  throw new ForjaError(
    corrupted ? 'ERR_CHECKSUM' : 'ERR_OFFLINE',
    `${request.to} could not be fetched\nTried\n${failures.map((line) => `  ${line}`).join('\n')}`,
  )
}

/** Lower-case hexadecimal SHA-256 of a file. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function fetchFrom(url: string, request: DownloadRequest, options: DownloadOptions): Promise<void> {
  const part = `${request.to}.part`
  let inherited = (await sizeOf(part)) > 0
  for (;;) {
    const before = await sizeOf(part)
    if (before !== request.bytes) {
      try {
        await receive(url, part, before < request.bytes ? before : 0, request, options)
      } catch (error) {
        if (error instanceof MirrorFailure && (await sizeOf(part)) > before) continue
        throw error
      }
    }
    const found = await sha256OfFile(part)
    if (found === request.sha256) {
      await rename(part, request.to)
      return
    }
    await rm(part, { force: true })
    if (!inherited) throw new MirrorFailure(`SHA-256 expected ${request.sha256}, found ${found}`, true)
    // What an earlier attempt left may have been the bad half: this mirror deserves one fetch from the start.
    inherited = false
  }
}

/** Appends the rest of the file to the part, which holds `from` bytes of it. */
async function receive(
  url: string,
  part: string,
  from: number,
  request: DownloadRequest,
  options: DownloadOptions,
): Promise<void> {
  const { signal, onProgress, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  throwIfAborted(signal)
  const cancel = new AbortController()
  const forward = () => cancel.abort()
  signal?.addEventListener('abort', forward, { once: true })
  let idle = setTimeout(forward, timeoutMs)
  try {
    const headers: Record<string, string> = { 'accept-encoding': 'identity' }
    if (from > 0) headers.range = `bytes=${from}-`
    const response = await fetch(url, { headers, signal: cancel.signal })
    if (response.status === 416) await rm(part, { force: true })
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      throw new MirrorFailure(`HTTP ${response.status}`)
    }
    const resumed = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${from}-`)
    if (response.status === 206 && !resumed) {
      throw new MirrorFailure(`answered range ${response.headers.get('content-range')}, not the bytes from ${from}`)
    }
    let received = resumed ? from : 0
    const file = await open(part, resumed ? 'a' : 'w')
    try {
      for await (const chunk of response.body) {
        clearTimeout(idle)
        idle = setTimeout(forward, timeoutMs)
        received += chunk.length
        if (received > request.bytes) {
          await file.truncate(0)
          throw new MirrorFailure(`sends more than the ${request.bytes} bytes expected`)
        }
        await file.writeFile(chunk)
        onProgress?.({ url, received, total: request.bytes })
      }
      await file.sync()
    } finally {
      await file.close()
    }
    if (received < request.bytes) throw new MirrorFailure(`ended after ${received} of ${request.bytes} bytes`)
  } catch (error) {
    throwIfAborted(signal)
    if (error instanceof MirrorFailure) throw error
    if (cancel.signal.aborted) throw new MirrorFailure(`no data for ${timeoutMs / 1000} s`)
    if (isFileFailure(error)) throw error
    throw new MirrorFailure(describe(error))
  } finally {
    clearTimeout(idle)
    signal?.removeEventListener('abort', forward)
    cancel.abort()
  }
}

/** A full disk or a folder that cannot be written is not the mirror's fault; sockets fail in other system calls. */
function isFileFailure(error: unknown): error is NodeJS.ErrnoException {
  const syscall = (error as NodeJS.ErrnoException | null)?.syscall
  return (
    syscall !== undefined && ['mkdir', 'open', 'write', 'fsync', 'close', 'ftruncate', 'rename', 'rm'].includes(syscall)
  )
}

function unwritable(path: string, cause: Error): ForjaError {
  return new ForjaError('ERR_OFFLINE', `${path} cannot be written: ${cause.message}`, {
    cause,
    hint: 'The cache folder follows XDG_CACHE_HOME; it needs to be writable and have room.',
  })
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause as NodeJS.ErrnoException | undefined
  return cause ? `${error.message} (${cause.code ?? cause.message})` : error.message
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.size,
    () => 0,
  )
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return
  const reason: unknown = signal.reason
  throw reason instanceof DOMException && reason.name === 'AbortError'
    ? new AbortError(undefined, { cause: reason })
    : reason
}
