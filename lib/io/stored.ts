/**
 * Tensors as files hold them: element types of files by their safetensors names, and their bytes, little-endian and
 * row-major, as host arrays. Integers that the package has no dtype for become int32 if their values fit.
 */
import { allocate, type DType, type TypedArray, viewAs } from '../dtype.js'
import { ForjaError } from '../errors.js'

export interface StoredTensor {
  dtype: DType
  shape: readonly number[]
  /** float16 and bfloat16 as their 16 bits, bool as bytes 0 and 1. */
  data: TypedArray
}

/** A file of named tensors, taken apart. */
export interface StoredFile {
  /** In the order in which they lie in the file. */
  tensors: Map<string, StoredTensor>
  metadata: Record<string, string>
}

export interface StoredType {
  bytes: number
  dtype: DType
  /** For types that are widened or narrowed to `dtype`. */
  read?: (view: DataView, at: number) => number
}

export const STORED_TYPES = {
  F32: { bytes: 4, dtype: 'float32' },
  F64: { bytes: 8, dtype: 'float64' },
  F16: { bytes: 2, dtype: 'float16' },
  BF16: { bytes: 2, dtype: 'bfloat16' },
  I32: { bytes: 4, dtype: 'int32' },
  U8: { bytes: 1, dtype: 'uint8' },
  BOOL: { bytes: 1, dtype: 'bool' },
  I8: { bytes: 1, dtype: 'int32', read: (view, at) => view.getInt8(at) },
  I16: { bytes: 2, dtype: 'int32', read: (view, at) => view.getInt16(at, true) },
  U16: { bytes: 2, dtype: 'int32', read: (view, at) => view.getUint16(at, true) },
  U32: { bytes: 4, dtype: 'int32', read: (view, at) => view.getUint32(at, true) },
  I64: { bytes: 8, dtype: 'int32', read: (view, at) => Number(view.getBigInt64(at, true)) },
  U64: { bytes: 8, dtype: 'int32', read: (view, at) => Number(view.getBigUint64(at, true)) },
} satisfies Record<string, StoredType>

/**
 * A copy of `raw`, whose length is a multiple of type.bytes, as an array of type.dtype.
 *
 * @param at where `raw` begins in the file
 * @param what names the file in error texts
 * @throws ERR_FORMAT for an integer that does not fit int32, a number too large for float32, a bool that is not 0 or 1
 */
export function readStored(raw: Uint8Array, type: StoredType, name: string, at: number, what: string): TypedArray {
  const length = raw.length / type.bytes
  if (type.read === undefined) {
    // A copy, also where raw is a Buffer, whose slice() shares memory.
    const data = viewAs(type.dtype, new Uint8Array(raw).buffer, 0, length)
    const wrong = type.dtype === 'bool' ? data.findIndex((value) => value > 1) : -1
    if (wrong >= 0)
      throw formatError(what, `tensor '${name}': BOOL ${data[wrong]} at byte ${at + wrong}; expected 0 or 1`)
    return data
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength)
  const data = allocate(type.dtype, length)
  for (let i = 0; i < length; i++) {
    const value = type.read(view, i * type.bytes)
    data[i] = value
    // A double is rounded to float32; it only must not become an infinity.
    const fits = type.dtype === 'float32' ? !Number.isFinite(value) || Number.isFinite(data[i]) : data[i] === value
    if (!fits) {
      const kind = type.dtype === 'float32' ? 'number' : 'integer'
      throw formatError(
        what,
        `tensor '${name}': ${kind} ${value} at byte ${at + i * type.bytes} does not fit ${type.dtype}`,
      )
    }
  }
  return data
}

/** An object of JSON. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isSize(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function formatError(what: string, message: string, cause?: unknown): ForjaError {
  return new ForjaError('ERR_FORMAT', `${what}: ${message}`, cause === undefined ? {} : { cause })
}
