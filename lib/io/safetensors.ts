/**
 * safetensors, the format of our checkpoints:
 *
 *   bytes 0..7       N, the size of the header, uint64 little-endian, at most 100,000,000
 *   bytes 8..7+N     JSON, starting with '{', padded with spaces:
 *                    { "<name>": { "dtype", "shape", "data_offsets": [begin, end] }, "__metadata__": { string: string } }
 *   then             the tensors' bytes, little-endian, row-major; offsets count from here
 *
 * The tensors cover that part exactly: no hole, no overlap, nothing left over, no name twice. Everything is checked
 * before a tensor is copied out, so what is allocated is bounded by the file's size.
 *
 * Writing: larger element types first, so that every tensor is aligned; otherwise in the order given.
 * Reading: the element types and what becomes of them are those of stored.ts.
 */
import { checkDType, type DType, sizeOf } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { findDuplicateKey } from './json_keys.js'
import {
  formatError,
  isRecord,
  isSize,
  readStored,
  STORED_TYPES,
  type StoredFile,
  type StoredTensor,
  type StoredType,
} from './stored.js'

const LENGTH_BYTES = 8
const MAX_HEADER_BYTES = 100_000_000
const METADATA = '__metadata__'
const UTF8 = new TextDecoder('utf-8', { fatal: true })

const TYPES: Record<string, StoredType> = STORED_TYPES

const NAMES = Object.fromEntries(
  Object.entries(TYPES)
    .filter(([, type]) => type.read === undefined)
    .map(([name, type]) => [type.dtype, name]),
) as Record<DType, string>

/** The bytes of a file, in pieces: the header, then the tensors' own memory, of which no copy is made. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header: Record<string, unknown> = Object.create(null)
  if (Object.keys(metadata).length > 0) header[METADATA] = checkMetadata(metadata)
  const entries = [...tensors].sort(([, a], [, b]) => sizeOf(b.dtype) - sizeOf(a.dtype))
  let at = 0
  for (const [name, tensor] of entries) {
    checkTensor(name, tensor)
    const end = at + tensor.data.byteLength
    header[name] = { dtype: NAMES[tensor.dtype], shape: tensor.shape, data_offsets: [at, end] }
    at = end
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const headerBytes = Math.ceil(json.length / LENGTH_BYTES) * LENGTH_BYTES
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `safetensors: names and metadata take ${headerBytes} bytes; the format allows ${MAX_HEADER_BYTES}`,
    )
  }
  const start = new Uint8Array(LENGTH_BYTES + headerBytes).fill(0x20)
  new DataView(start.buffer).setBigUint64(0, BigInt(headerBytes), true)
  start.set(json, LENGTH_BYTES)
  return [start, ...entries.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))]
}

/** @param what names the source in error texts, such as the file's path */
export function decodeSafetensors(bytes: Uint8Array, what: string): StoredFile {
  const { header, dataStart } = readHeader(bytes, what)
  const entries: { name: string; type: StoredType; shape: number[]; begin: number; end: number }[] = []
  let metadata: Record<string, string> = {}
  for (const [name, entry] of Object.entries(header)) {
    if (name === METADATA) metadata = readMetadata(entry, what)
    else entries.push({ name, ...readEntry(name, entry, bytes.length - dataStart, dataStart, what) })
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let expected = 0
  for (const { name, begin, end } of entries) {
    if (begin !== expected) {
      throw formatError(
        what,
        `tensor '${name}' begins at byte ${dataStart + begin}; expected ${dataStart + expected}, where the one before it ends ` +
          `(${begin < expected ? 'they overlap' : 'a hole'})`,
      )
    }
    expected = end
  }
  if (dataStart + expected !== bytes.length) {
    throw formatError(what, `the tensors end at byte ${dataStart + expected}; the file has ${bytes.length} bytes`)
  }
  const tensors = new Map<string, StoredTensor>()
  for (const { name, type, shape, begin, end } of entries) {
    const raw = bytes.subarray(dataStart + begin, dataStart + end)
    tensors.set(name, { dtype: type.dtype, shape, data: readStored(raw, type, name, dataStart + begin, what) })
  }
  return { tensors, metadata }
}

function readHeader(bytes: Uint8Array, what: string): { header: object; dataStart: number } {
  if (bytes.length < LENGTH_BYTES) {
    throw formatError(what, `truncated at byte ${bytes.length}; expected the 8-byte header size at byte 0`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const claimed = view.getBigUint64(0, true)
  if (claimed < 2n || claimed > BigInt(MAX_HEADER_BYTES)) {
    throw formatError(what, `header size ${claimed} at byte 0; expected 2 to ${MAX_HEADER_BYTES}`)
  }
  const dataStart = LENGTH_BYTES + Number(claimed)
  if (dataStart > bytes.length) {
    throw formatError(what, `truncated: the header is to end at byte ${dataStart}; the file has ${bytes.length} bytes`)
  }
  if (bytes[LENGTH_BYTES] !== 0x7b) {
    throw formatError(what, `expected '{' at byte 8, found 0x${bytes[LENGTH_BYTES]!.toString(16).padStart(2, '0')}`)
  }
  let text: string
  let header: unknown
  try {
    text = UTF8.decode(bytes.subarray(LENGTH_BYTES, dataStart))
    header = JSON.parse(text)
  } catch (cause) {
    throw formatError(what, `the header at byte 8 is not JSON in UTF-8: ${(cause as Error).message}`, cause)
  }
  const duplicate = findDuplicateKey(text)
  if (duplicate !== undefined) {
    throw formatError(
      what,
      `the header names '${duplicate.key}' twice (character ${duplicate.at} of the header at byte 8)`,
    )
  }
  return { header: header as object, dataStart }
}

function readEntry(name: string, entry: unknown, room: number, dataStart: number, what: string) {
  if (!isRecord(entry))
    throw formatError(what, `tensor '${name}': expected an object in the header, found ${show(entry)}`)
  const { dtype, shape, data_offsets: offsets } = entry
  const type = typeof dtype === 'string' && Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : undefined
  if (type === undefined) {
    throw formatError(what, `tensor '${name}': dtype ${show(dtype)}; expected one of ${Object.keys(TYPES).join(', ')}`)
  }
  if (!isSizes(shape)) {
    throw formatError(what, `tensor '${name}': shape ${show(shape)}; expected a list of non-negative integers`)
  }
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw formatError(what, `tensor '${name}': data_offsets ${show(offsets)}; expected [begin, end]`)
  }
  const [begin, end] = offsets as [number, number]
  if (begin > end || end > room) {
    throw formatError(
      what,
      `tensor '${name}': data_offsets [${begin}, ${end}] are bytes ${dataStart + begin} to ${dataStart + end} of a file ` +
        `of ${dataStart + room}; expected begin <= end <= ${room}`,
    )
  }
  const size = shape.reduce((product, dimension) => product * dimension, type.bytes)
  if (size !== end - begin) {
    throw formatError(
      what,
      `tensor '${name}': shape [${shape.join(', ')}] of ${dtype} is ${size} bytes; data_offsets [${begin}, ${end}] ` +
        `hold ${end - begin} (at byte ${dataStart + begin})`,
    )
  }
  return { type, shape, begin, end }
}

function readMetadata(entry: unknown, what: string): Record<string, string> {
  if (!isRecord(entry)) throw formatError(what, `${METADATA}: expected an object, found ${show(entry)}`)
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string')
      throw formatError(what, `${METADATA} '${key}': expected a string, found ${show(value)}`)
  }
  return entry as Record<string, string>
}

function checkTensor(name: string, { dtype, shape, data }: StoredTensor): void {
  checkDType(dtype, `safetensors: tensor '${name}'`)
  if (name === METADATA) throw new ForjaError('ERR_ARGUMENT', `safetensors: a tensor cannot be called ${METADATA}`)
  const elements = shape.reduce((product, size) => product * size, 1)
  if (!isSizes(shape) || elements !== data.length || data.BYTES_PER_ELEMENT !== sizeOf(dtype)) {
    throw new ForjaError(
      'ERR_SHAPE',
      `safetensors: tensor '${name}' has shape [${shape.join(', ')}] of ${dtype}; ` +
        `its data are ${data.length} elements of ${data.BYTES_PER_ELEMENT} bytes`,
    )
  }
}

function checkMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') {
      throw new ForjaError('ERR_ARGUMENT', `safetensors: metadata '${key}' is ${show(value)}; expected a string`)
    }
  }
  return metadata
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isSize)
}

/** A value of the header, cut short. */
function show(value: unknown): string {
  let text: string
  try {
    text = JSON.stringify(value) ?? 'nothing'
  } catch {
    return 'something nested too deeply'
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
