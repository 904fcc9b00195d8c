/**
 * The value type of the float64 reference interpreter: a dense row-major array whose elements are JavaScript numbers,
 * whatever the dtype. Slow and obvious on purpose: it is the oracle of every kernel.
 */
import type { DType, TypedArray } from '../dtype.js'
import { allocate, viewAs } from '../dtype.js'
import { type Shape, sizeOfShape, stridesOf } from '../shape.js'

export interface RefArray {
  readonly shape: Shape
  readonly dtype: DType
  readonly data: Float64Array
}

export function refArray(shape: Shape, dtype: DType, data?: Float64Array): RefArray {
  return { shape, dtype, data: data ?? allocate('float64', sizeOfShape(shape)) }
}

/** Calls `visit` with every index of `shape` in row-major order; the array is reused. */
export function forEachIndex(shape: Shape, visit: (index: readonly number[], flat: number) => void): void {
  const index = new Array<number>(shape.length).fill(0)
  const size = sizeOfShape(shape)
  for (let flat = 0; flat < size; flat++) {
    visit(index, flat)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]!++
      if (index[axis]! < shape[axis]!) break
      index[axis] = 0
    }
  }
}

/** Flat position in an array of `shape` of an index of a shape it broadcasts to. */
export function broadcastOffset(shape: Shape, index: readonly number[]): number {
  const strides = stridesOf(shape)
  const lead = index.length - shape.length
  let offset = 0
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] !== 1) offset += index[lead + axis]! * strides[axis]!
  }
  return offset
}

/** float64 elements from the bits that carry `dtype`. */
export function toRef(shape: Shape, dtype: DType, bits: TypedArray): RefArray {
  if (dtype === 'float16') return refArray(shape, dtype, Float64Array.from(bits, fromHalf))
  if (dtype === 'bfloat16') return refArray(shape, dtype, Float64Array.from(bits, fromBfloat16))
  return refArray(shape, dtype, Float64Array.from(bits))
}

/** The bits that carry `array`'s dtype, rounded to nearest even. */
export function fromRef(array: RefArray): TypedArray {
  if (array.dtype === 'float16') return Uint16Array.from(array.data, toHalf)
  if (array.dtype === 'bfloat16') return Uint16Array.from(array.data, toBfloat16)
  const out = allocate(array.dtype, array.data.length)
  out.set(array.data)
  return out
}

const f32 = new Float32Array(1)
const u32 = viewAs('int32', f32.buffer) as Int32Array

function fromBfloat16(bits: number): number {
  u32[0] = bits << 16
  return f32[0]!
}

function toBfloat16(x: number): number {
  f32[0] = x
  const bits = u32[0]! >>> 0
  if (Number.isNaN(x)) return 0x7fc0
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

function toHalf(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const a = Math.abs(x)
  if (Number.isNaN(x)) return 0x7e00
  if (a >= 65520) return sign | 0x7c00
  if (a < 2 ** -14) return sign | roundEven(a * 2 ** 24)
  const exponent = Math.floor(Math.log2(a))
  const adjusted = a >= 2 ** (exponent + 1) ? exponent + 1 : a < 2 ** exponent ? exponent - 1 : exponent
  return sign | (((adjusted + 15) << 10) + (roundEven((a / 2 ** adjusted) * 1024) - 1024))
}

function roundEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  if (rest < 0.5) return floor
  if (rest > 0.5) return floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}
