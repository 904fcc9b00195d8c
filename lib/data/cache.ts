/**
 * Where a data set's files are looked for. One folder a data set (`mnist/train-images-idx3-ubyte.gz`, or unpacked,
 * without `.gz`), in this order:
 *
 *   1. the folder a caller names (`dir`, on the command line --data-dir)
 *   2. FORJA_DATA_DIR
 *   3. the user's cache: $XDG_CACHE_HOME/forja, or ~/.cache/forja
 *   4. the mirrors, into the cache; not with `offline` or FORJA_OFFLINE=1
 *
 * A file that is found is used as it is: a teacher may put another set of the same layout there. `verifyFile` compares
 * with the published checksums.
 */
import { createHash } from 'node:crypto'
import { access, constants, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { ForjaError } from '../errors.js'
import { readFileWhole } from '../io/read.js'
import { checkOptions } from '../options.js'
import { type DownloadOptions, type DownloadProgress, download, sha256OfFile } from './download.js'
import type { Source, SourceFile } from './sources.js'

export interface LocateOptions extends Omit<DownloadOptions, 'onProgress'> {
  /** A folder that holds one folder a data set; looked at first. */
  dir?: string
  /** Never fetch. Default: whether FORJA_OFFLINE is 1. */
  offline?: boolean
  /** The folder of a server with the set's files, tried before the mirrors that are known; checksums hold for it too. */
  mirror?: string
  onProgress?: (progress: DownloadProgress & { file: string }) => void
  /** Default: process.env. */
  env?: NodeJS.ProcessEnv
}

type Places = Pick<LocateOptions, 'dir' | 'env'>

/** Names of the options above. */
const PLACES = ['dir', 'env'] as const
export const LOCATE = [...PLACES, 'offline', 'mirror', 'onProgress', 'signal', 'timeoutMs'] as const

export interface DataFolder {
  path: string
  /** Why it is looked at: `dir`, `FORJA_DATA_DIR` or `cache`. */
  origin: 'dir' | 'FORJA_DATA_DIR' | 'cache'
}

/** The user's cache folder; it need not exist. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  // The XDG specification tells programs to ignore a relative path.
  const base = env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME) ? env.XDG_CACHE_HOME : join(homedir(), '.cache')
  return join(base, 'forja')
}

/** The folders that are searched, in order. */
export function dataFolders(options: Places = {}): DataFolder[] {
  return foldersOf(checkOptions('dataFolders', options, PLACES))
}

function foldersOf({ dir, env = process.env }: Places): DataFolder[] {
  const folders: DataFolder[] = []
  if (dir) folders.push({ path: dir, origin: 'dir' })
  if (env.FORJA_DATA_DIR) folders.push({ path: env.FORJA_DATA_DIR, origin: 'FORJA_DATA_DIR' })
  folders.push({ path: cacheFolder(env), origin: 'cache' })
  return folders
}

/** The path of a file that is on this machine, packed or not; undefined where it is in none of the folders. */
export async function findFile(source: Source, file: SourceFile, options: Places = {}): Promise<string | undefined> {
  checkOptions('findFile', options, PLACES)
  for (const path of candidates(source, file, options)) {
    if (await isReadable(path)) return path
  }
  return undefined
}

/** The path of the first of a set's other forms that is on this machine, unless its files come in an earlier folder. */
export async function findUnpacked(source: Source, options: Places = {}): Promise<string | undefined> {
  for (const folder of foldersOf(options)) {
    for (const form of source.unpacked ?? []) {
      const path = join(folder.path, source.name, form)
      if (await exists(path)) return path
    }
    const packed = source.files.map((file) => namesOf(file).map((name) => exists(join(folder.path, source.name, name))))
    const here = await Promise.all(packed.map(async (names) => (await Promise.all(names)).includes(true)))
    if (!here.includes(false)) return undefined
  }
  return undefined
}

/** The path of a file, fetched if it must be and may be. */
export async function locateFile(source: Source, file: SourceFile, options: LocateOptions = {}): Promise<string> {
  const { dir, env = process.env } = checkOptions('locateFile', options, LOCATE)
  const found = await findFile(source, file, { dir, env })
  if (found !== undefined) return found
  const own = options.mirror === undefined ? [] : [options.mirror.replace(/\/?$/, '/')]
  const urls = [...own, ...source.mirrors].map((mirror) => mirror + file.name)
  const to = join(cacheFolder(env), source.name, file.name)
  const { signal, timeoutMs, onProgress } = options
  const { bytes, sha256 } = file
  if (urls.length === 0 || sha256 === undefined) {
    throw await missing(source, file, options, 'no mirror with a published checksum is known')
  }
  if (options.offline ?? env.FORJA_OFFLINE === '1')
    throw await missing(source, file, options, 'fetching is switched off')
  try {
    await download(
      { urls, to, bytes, sha256 },
      { signal, timeoutMs, onProgress: onProgress && ((progress) => onProgress({ ...progress, file: file.name })) },
    )
  } catch (error) {
    // What has advice of its own, such as a cache that cannot be written, is no question of mirrors.
    const unanswered = error instanceof ForjaError && error.code === 'ERR_OFFLINE' && error.hint === undefined
    throw unanswered ? await missing(source, file, options, error.message) : error
  }
  return to
}

/** Throws ERR_CHECKSUM unless the file is the published one, as served or unpacked or packed anew. */
export async function verifyFile(path: string, file: SourceFile): Promise<void> {
  if (file.sha256 === undefined) {
    throw new ForjaError('ERR_CHECKSUM', `${path}: no checksum is published that it could be compared with`)
  }
  const found = await sha256OfFile(path)
  if (found === file.sha256 || found === file.plainSha256) return
  const plain = file.plainSha256 !== undefined && path.endsWith('.gz') ? await sha256Unpacked(path) : undefined
  if (plain !== undefined && plain === file.plainSha256) return
  const published = file.plainSha256 ? `${file.sha256} (or unpacked ${file.plainSha256})` : file.sha256
  const unpacked = plain ? ` (unpacked ${plain})` : ''
  throw new ForjaError('ERR_CHECKSUM', `${path}: SHA-256 expected ${published}, found ${found}${unpacked}`, {
    hint: 'Delete the file; the next use fetches it again.',
  })
}

async function sha256Unpacked(path: string): Promise<string> {
  const packed = await readFileWhole(path)
  try {
    const plain = gunzipSync(packed, { maxOutputLength: 2 ** 28 })
    return createHash('sha256').update(plain).digest('hex')
  } catch (cause) {
    throw new ForjaError('ERR_FORMAT', `${path}: the gzip stream cannot be read: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** A file may lie packed or not. */
function namesOf(file: SourceFile): string[] {
  return file.name.endsWith('.gz') ? [file.name, file.name.slice(0, -3)] : [file.name]
}

function candidates(source: Source, file: SourceFile, options: Places): string[] {
  return foldersOf(options).flatMap(({ path }) => namesOf(file).map((name) => join(path, source.name, name)))
}

async function missing(source: Source, file: SourceFile, options: LocateOptions, reason: string): Promise<ForjaError> {
  const forms = foldersOf(options).flatMap(({ path }) =>
    (source.unpacked ?? []).map((form) => join(path, source.name, form)),
  )
  const paths = [...candidates(source, file, options), ...forms]
  const looked = await Promise.all(paths.map(async (path) => `  ${path}${await whyNot(path)}`))
  const urls = source.mirrors.map((mirror) => `  ${mirror}${file.name}`)
  const manual = join(cacheFolder(options.env), source.name, file.name)
  return new ForjaError(
    'ERR_OFFLINE',
    [
      `${source.title}: ${file.name} is not on this machine: ${reason}`,
      'Looked at',
      ...looked,
      ...(urls.length > 0 ? ['Mirrors', ...urls] : []),
    ].join('\n'),
    { hint: `Put the file at ${manual}, or point FORJA_DATA_DIR at a folder that holds ${source.name}/${file.name}.` },
  )
}

/** What is in the way where something lies at the path that is no readable file: ` (a folder)`. */
async function whyNot(path: string): Promise<string> {
  try {
    await access(path, constants.R_OK)
    return (await stat(path)).isDirectory() ? ' (a folder)' : ''
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? '' : ` (${code})`
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}

async function isReadable(path: string): Promise<boolean> {
  return (await exists(path)) && (await stat(path)).isFile()
}
