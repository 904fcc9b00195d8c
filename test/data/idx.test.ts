import { deflateRawSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { parseIdx } from '../../lib/data/idx.js'
import { ForjaError } from '../../lib/errors.js'
import { RandomStream } from '../../lib/random.js'

function idx(type: number, shape: number[], body: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + 4 * shape.length + body.length)
  const view = new DataView(out.buffer)
  out.set([0, 0, type, shape.length])
  for (const [d, size] of shape.entries()) view.setUint32(4 + 4 * d, size)
  out.set(body, 4 + 4 * shape.length)
  return out
}

function formatError(bytes: Uint8Array): ForjaError {
  try {
    parseIdx(bytes, 'digits')
  } catch (error) {
    expect(error).toBeInstanceOf(ForjaError)
    expect((error as ForjaError).code).toBe('ERR_FORMAT')
    expect((error as ForjaError).message).toMatch(/^digits: /)
    return error as ForjaError
  }
  throw new Error('accepted')
}

const images = idx(
  8,
  [2, 2, 3],
  Uint8Array.from({ length: 12 }, (_, i) => i * 20),
)

describe('parseIdx', () => {
  it('reads uint8, plain and compressed', () => {
    for (const bytes of [images, gzipSync(images)]) {
      const { shape, dtype, data } = parseIdx(bytes, 'digits')
      expect(shape).toEqual([2, 2, 3])
      expect(dtype).toBe('uint8')
      expect(data).toEqual(Uint8Array.from({ length: 12 }, (_, i) => i * 20))
    }
  })

  it('does not keep the file alive or share its bytes', () => {
    for (const copy of [images.slice(), Buffer.from(images)]) {
      const { data } = parseIdx(copy, 'digits')
      copy.fill(0)
      expect(data[1]).toBe(20)
      expect(data.buffer.byteLength).toBe(12)
    }
  })

  it.each([
    [9, 'int32', Int32Array.of(-1, 127), [0xff, 0x7f]],
    [11, 'int32', Int32Array.of(-2, 258), [0xff, 0xfe, 0x01, 0x02]],
    [12, 'int32', Int32Array.of(-3, 1), [0xff, 0xff, 0xff, 0xfd, 0, 0, 0, 1]],
    [13, 'float32', Float32Array.of(1.5, -2), [0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0]],
    [14, 'float64', Float64Array.of(1, -2), [0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0]],
  ])('reads big-endian elements of type %i as %s', (type, dtype, data, bytes) => {
    expect(parseIdx(idx(type, [2], Uint8Array.from(bytes)), 'digits')).toEqual({ shape: [2], dtype, data })
  })

  it('reads an unaligned view into a larger buffer', () => {
    const bytes = idx(13, [1], Uint8Array.of(0x3f, 0xc0, 0, 0))
    const larger = new Uint8Array(bytes.length + 3)
    larger.set(bytes, 3)
    expect(parseIdx(larger.subarray(3), 'digits').data).toEqual(Float32Array.of(1.5))
  })

  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /truncated at byte 0: expected the 4 magic bytes/],
    ['another format', Uint8Array.of(0x50, 0x4b, 3, 4), /expected 00 00 at byte 0, found 50 4b/],
    ['an unknown type', idx(10, [1], new Uint8Array(1)), /element type 0a at byte 2/],
    ['rank 0', idx(8, [], new Uint8Array(1)), /rank 0 at byte 3; expected 1 to 8/],
    ['rank 255', Uint8Array.of(0, 0, 8, 255), /rank 255 at byte 3/],
    ['a cut header', images.subarray(0, 9), /truncated at byte 9: expected 3 dimension sizes at bytes 4 to 15/],
    ['cut data', images.subarray(0, 20), /truncated: .*\[2, 2, 3\] of uint8, which is 28 bytes.*found 20/],
    ['more data', idx(8, [2], new Uint8Array(3)), /longer than its header says: .* 10 bytes .*found 11/],
    ['a huge claim', idx(8, [60_000, 28, 28], new Uint8Array(8)), /which is 47040016 bytes.*found 24/],
    ['an absurd claim', idx(14, [2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], new Uint8Array(8)), /at most 2147483648/],
    ['a cut gzip stream', gzipSync(images).subarray(0, 30), /gzip stream cannot be read: .*within its 30 bytes/],
    ['a gzip stream that is no IDX', gzipSync(Buffer.from('hello, world')), /expected 00 00 at byte 0/],
    ['gzip that claims the impossible', gzipSync(idx(8, [2 ** 30], new Uint8Array(8))), /bytes of gzip cannot hold/],
  ])('refuses %s', (_, bytes, message) => {
    expect(formatError(bytes).message).toMatch(message)
  })

  it('stops inflating a bomb at the size that its header promises', () => {
    const bomb = gzipSync(idx(8, [100], new Uint8Array(64 * 2 ** 20)), { level: 1 })
    const before = process.memoryUsage().arrayBuffers
    expect(formatError(bomb).message).toMatch(/more than the 108 bytes/)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 2 ** 20)
  })

  it('answers mutated bytes with a value or a ForjaError, and allocates no more than the bytes justify', () => {
    const random = new RandomStream(11)
    const float = idx(13, [2, 3], new Uint8Array(24))
    let refused = 0
    for (let round = 0; round < 6000; round++) {
      const bytes = [images, float, gzipSync(images), deflateRawSync(images)][round % 4]!.slice()
      for (let edits = 1 + random.below(4); edits > 0; edits--) bytes[random.below(bytes.length)] = random.below(256)
      const cut = random.below(3) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes
      try {
        expect(parseIdx(cut, 'fuzz').data.byteLength).toBeLessThanOrEqual(4 * 1032 * cut.length)
      } catch (error) {
        if (!(error instanceof ForjaError)) throw error
        expect(error.code).toBe('ERR_FORMAT')
        refused++
      }
    }
    expect(refused).toBeGreaterThan(1000)
  })
})
