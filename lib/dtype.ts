/**
 * Element types: their names, the codes of native/abi/program.h, sizes and typed arrays.
 */
import { describeGiven, ForjaError } from './errors.js'

/** Order is the code in native/abi/program.h: append only. */
export const DTYPES = ['float32', 'int32', 'uint8', 'bool', 'float16', 'bfloat16', 'float64'] as const

export type DType = (typeof DTYPES)[number]

export type TypedArray = Float32Array | Int32Array | Uint8Array | Uint16Array | Float64Array

/** float16 and bfloat16 are carried as their 16 bits; bool as one byte, 0 or 1. */
const ARRAYS = {
  float32: Float32Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  float64: Float64Array,
} as const

export function dtypeCode(dtype: DType): number {
  return DTYPES.indexOf(dtype)
}

export function sizeOf(dtype: DType): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || isHalf(dtype)
}

/** Carried as bits: its typed array does not hold numbers. */
export function isHalf(dtype: DType): boolean {
  return dtype === 'float16' || dtype === 'bfloat16'
}

/**
 * float32 as networks are written in; bfloat16 is what the passes of that precision make of it, float64 what the reference
 * computes in.
 */
export function standsForFloat32(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'bfloat16'
}

export function checkDType(dtype: unknown, what: string): asserts dtype is DType {
  if (!DTYPES.includes(dtype as DType)) {
    throw new ForjaError(
      'ERR_DTYPE',
      `${what}: unknown dtype ${typeof dtype === 'string' ? dtype : describeGiven(dtype)}; expected one of ${DTYPES.join(', ')}`,
    )
  }
}

/** A new zeroed array of the type that carries `dtype`; ERR_OUT_OF_MEMORY where the host has none for it. */
export function allocate<D extends DType>(dtype: D, length: number): InstanceType<(typeof ARRAYS)[D]> {
  try {
    return new ARRAYS[dtype](length) as InstanceType<(typeof ARRAYS)[D]>
  } catch (cause) {
    throw new ForjaError('ERR_OUT_OF_MEMORY', `no memory for ${describeGiven(length)} elements of ${dtype}`, { cause })
  }
}

/** A view of `buffer` as `dtype`, no copy. */
export function viewAs(dtype: DType, buffer: ArrayBufferLike, byteOffset = 0, length?: number): TypedArray {
  return new ARRAYS[dtype](buffer as ArrayBuffer, byteOffset, length)
}

/** The dtype a typed array stands for when none is given. */
export function dtypeOfArray(array: unknown): DType | undefined {
  if (array instanceof Float32Array) return 'float32'
  if (array instanceof Float64Array) return 'float64'
  if (array instanceof Int32Array) return 'int32'
  if (array instanceof Uint8Array || array instanceof Uint8ClampedArray) return 'uint8'
  return undefined
}
