/**
 * IDX, the format of MNIST: all numbers big-endian,
 *
 *   bytes 0..1   0
 *   byte  2      type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
 *   byte  3      rank
 *   4 + 4 d      size of dimension d, uint32
 *   then         the elements, row-major
 *
 * A gzip container is recognised by its magic bytes. Nothing is allocated on the word of a header: the size it
 * claims must first agree with the bytes that are there, and a gzip stream is never inflated beyond that size.
 */
import { constants, gunzipSync } from 'node:zlib'
import { allocate, type DType, type TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { refuse } from '../ops/refuse.js'
import { MAX_RANK } from '../shape.js'

export interface IdxArray {
  shape: number[]
  dtype: DType
  data: TypedArray
}

interface IdxHeader {
  type: number
  shape: number[]
  /** Bytes before the elements. */
  headerBytes: number
  elements: number
  /** Header and elements. */
  totalBytes: number
}

interface IdxType {
  name: string
  bytes: number
  /** int8 and int16 are widened. */
  dtype: DType
  read(view: DataView, at: number): number
}

const TYPES: Record<number, IdxType> = {
  8: { name: 'uint8', bytes: 1, dtype: 'uint8', read: (view, at) => view.getUint8(at) },
  9: { name: 'int8', bytes: 1, dtype: 'int32', read: (view, at) => view.getInt8(at) },
  11: { name: 'int16', bytes: 2, dtype: 'int32', read: (view, at) => view.getInt16(at) },
  12: { name: 'int32', bytes: 4, dtype: 'int32', read: (view, at) => view.getInt32(at) },
  13: { name: 'float32', bytes: 4, dtype: 'float32', read: (view, at) => view.getFloat32(at) },
  14: { name: 'float64', bytes: 8, dtype: 'float64', read: (view, at) => view.getFloat64(at) },
}

const MAX_HEADER_BYTES = 4 + 4 * MAX_RANK
/** Enough for any usual gzip header (with a file name) and the IDX header after it. */
const GZIP_PREFIX_BYTES = 4096
/** Deflate cannot do better: 258 bytes for 2 bits. */
const MAX_DEFLATE_RATIO = 1032
const MAX_TOTAL_BYTES = 2 ** 31

function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** @param what names the source in error texts, such as the file's path */
export function parseIdx(bytes: Uint8Array, what: string): IdxArray {
  if (!(bytes instanceof Uint8Array))
    refuse('parseIdx', 'ERR_ARGUMENT', `the bytes of a file expected, a Uint8Array, got ${describeGiven(bytes)}`)
  const plain = isGzip(bytes) ? inflate(bytes, what) : bytes
  const header = parseHeader(plain, what)
  if (plain.length !== header.totalBytes) {
    const state = plain.length < header.totalBytes ? 'truncated' : 'longer than its header says'
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: ${state}: the header promises shape [${header.shape.join(', ')}] of ${TYPES[header.type]!.name}, ` +
        `which is ${header.totalBytes} bytes with the header; found ${plain.length} (data starts at byte ${header.headerBytes})`,
      plain.length < header.totalBytes ? { hint: 'The file was not copied to its end; fetch it again.' } : {},
    )
  }
  return { shape: header.shape, dtype: TYPES[header.type]!.dtype, data: readElements(plain, header) }
}

function parseHeader(bytes: Uint8Array, what: string): IdxHeader {
  if (bytes.length < 4) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: truncated at byte ${bytes.length}: expected the 4 magic bytes 00 00 <type> <rank> of IDX at byte 0`,
    )
  }
  if (bytes[0] !== 0 || bytes[1] !== 0) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: not an IDX file: expected 00 00 at byte 0, found ${hex(bytes[0]!)} ${hex(bytes[1]!)}`,
    )
  }
  const type = bytes[2]!
  const rank = bytes[3]!
  const known = TYPES[type]
  if (known === undefined) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: unknown IDX element type ${hex(type)} at byte 2; expected 08, 09, 0b, 0c, 0d or 0e`,
    )
  }
  if (rank < 1 || rank > MAX_RANK) {
    throw new ForjaError('ERR_FORMAT', `${what}: IDX rank ${rank} at byte 3; expected 1 to ${MAX_RANK}`)
  }
  const headerBytes = 4 + 4 * rank
  if (bytes.length < headerBytes) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: truncated at byte ${bytes.length}: expected ${rank} dimension sizes at bytes 4 to ${headerBytes - 1}`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const shape = Array.from({ length: rank }, (_, d) => view.getUint32(4 + 4 * d))
  const elements = shape.reduce((product, size) => product * size, 1)
  const totalBytes = headerBytes + elements * known.bytes
  if (!(totalBytes <= MAX_TOTAL_BYTES)) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: the dimensions [${shape.join(', ')}] at byte 4 ask for ${totalBytes} bytes; at most ${MAX_TOTAL_BYTES} are read`,
    )
  }
  return { type, shape, headerBytes, elements, totalBytes }
}

/** The inflated file: never more than the bytes its IDX header promises. */
function inflate(bytes: Uint8Array, what: string): Uint8Array {
  const prefix = gunzip(bytes.subarray(0, GZIP_PREFIX_BYTES), what, {
    finishFlush: constants.Z_SYNC_FLUSH,
    maxOutputLength: GZIP_PREFIX_BYTES * MAX_DEFLATE_RATIO,
  })
  const { totalBytes, shape } = parseHeader(prefix.subarray(0, MAX_HEADER_BYTES), what)
  if (totalBytes > bytes.length * MAX_DEFLATE_RATIO) {
    throw new ForjaError(
      'ERR_FORMAT',
      `${what}: the header promises shape [${shape.join(', ')}], ${totalBytes} bytes, which ${bytes.length} bytes of gzip ` +
        `cannot hold (at most ${bytes.length * MAX_DEFLATE_RATIO})`,
    )
  }
  return gunzip(bytes, what, { maxOutputLength: totalBytes })
}

function gunzip(
  bytes: Uint8Array,
  what: string,
  options: { finishFlush?: number; maxOutputLength: number },
): Uint8Array {
  try {
    return gunzipSync(bytes, options)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const reason =
      code === 'ERR_BUFFER_TOO_LARGE'
        ? `it holds more than the ${options.maxOutputLength} bytes that its IDX header promises`
        : `${message} (within its ${bytes.length} bytes)`
    throw new ForjaError('ERR_FORMAT', `${what}: the gzip stream cannot be read: ${reason}`, { cause })
  }
}

function readElements(bytes: Uint8Array, header: IdxHeader): TypedArray {
  const { dtype, bytes: size, read } = TYPES[header.type]!
  // Not slice(): that of a Buffer shares its memory.
  if (dtype === 'uint8') return new Uint8Array(bytes.subarray(header.headerBytes, header.totalBytes))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const data = allocate(dtype, header.elements)
  for (let i = 0; i < header.elements; i++) data[i] = read(view, header.headerBytes + i * size)
  return data
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
