/** As a setup file: arrays of the same bytes are equal at once, where toEqual would ask for each of millions of elements. */
import { expect } from 'vitest'

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

expect.addEqualityTesters([
  (a: unknown, b: unknown) => {
    if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined
    // Others may still be equal: one NaN is another.
    return Buffer.compare(bytesOf(a), bytesOf(b)) === 0 ? true : undefined
  },
])
