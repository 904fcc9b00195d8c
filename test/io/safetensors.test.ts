import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ForjaError } from '../../lib/errors.js'
import { writeFileAtomic } from '../../lib/io/atomic.js'
import { decodeSafetensors, encodeSafetensors } from '../../lib/io/safetensors.js'
import type { StoredTensor } from '../../lib/io/stored.js'
import { RandomStream } from '../../lib/random.js'

/** A file from a header in so many words. */
function file(header: string, dataBytes = 0, claimed = Buffer.byteLength(header)): Uint8Array {
  const out = Buffer.alloc(8 + Buffer.byteLength(header) + dataBytes)
  out.writeBigUInt64LE(BigInt(claimed))
  out.write(header, 8)
  return out
}

const entry = (dtype: string, shape: number[], begin: number, end: number) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] })

const sample = new Map<string, StoredTensor>([
  ['mask', { dtype: 'bool', shape: [3], data: Uint8Array.of(1, 0, 1) }],
  ['conv.weight', { dtype: 'float32', shape: [2, 1, 2], data: Float32Array.of(1, -2, 3.5, 1e-20) }],
  ['half', { dtype: 'float16', shape: [2], data: Uint16Array.of(0x3c00, 0xfbff) }],
  ['brain', { dtype: 'bfloat16', shape: [1], data: Uint16Array.of(0x3f80) }],
  ['wide', { dtype: 'float64', shape: [], data: Float64Array.of(Math.PI) }],
  ['count', { dtype: 'int32', shape: [1], data: Int32Array.of(-7) }],
  ['bytes', { dtype: 'uint8', shape: [2], data: Uint8Array.of(0, 255) }],
  ['nothing', { dtype: 'float32', shape: [0, 3], data: new Float32Array(0) }],
])

/** A whole file. */
const encoded = (...args: Parameters<typeof encodeSafetensors>) =>
  Uint8Array.from(Buffer.concat(encodeSafetensors(...args)))

describe('encodeSafetensors', () => {
  it('gives back what went in', () => {
    const { tensors, metadata } = decodeSafetensors(encoded(sample, { format: 'pt', ação: 'ü' }), 'model')
    expect(metadata).toEqual({ format: 'pt', ação: 'ü' })
    expect(new Map([...tensors].sort())).toEqual(new Map([...sample].sort()))
  })

  it('lays tensors out aligned, after a header padded with spaces to 8 bytes', () => {
    const bytes = encoded(sample)
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    expect(headerBytes % 8).toBe(0)
    const text = Buffer.from(bytes.subarray(8, 8 + headerBytes)).toString()
    const header = JSON.parse(text) as Record<string, { dtype: string; data_offsets: [number, number] }>
    expect(text.trimEnd()).toBe(JSON.stringify(header))
    const size: Record<string, number> = { F64: 8, F32: 4, I32: 4, F16: 2, BF16: 2, U8: 1, BOOL: 1 }
    for (const { dtype, data_offsets } of Object.values(header)) expect(data_offsets[0] % size[dtype]!).toBe(0)
    expect(Object.keys(header)).toEqual(['wide', 'conv.weight', 'count', 'nothing', 'half', 'brain', 'mask', 'bytes'])
  })

  it('writes these very bytes', () => {
    const bytes = encoded(new Map([['w', { dtype: 'float32', shape: [1], data: Float32Array.of(1) }]]))
    const header = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    expect(Buffer.from(bytes).toString('hex')).toBe(
      `3800000000000000${Buffer.from(header.padEnd(56)).toString('hex')}0000803f`,
    )
  })

  it('keeps a tensor called __proto__', () => {
    const odd = new Map([['__proto__', { dtype: 'uint8', shape: [1], data: Uint8Array.of(5) } as const]])
    expect(decodeSafetensors(encoded(odd), 'model').tensors).toEqual(odd)
  })

  it('writes a view that starts inside a larger buffer', () => {
    const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3)
    const { tensors } = decodeSafetensors(encoded(new Map([['v', { dtype: 'float32', shape: [2], data }]])), 'm')
    expect(tensors.get('v')!.data).toEqual(Float32Array.of(1, 2))
  })

  it.each<[string, string, StoredTensor, string]>([
    ['another size', 'w', { dtype: 'float32', shape: [3], data: new Float32Array(2) }, 'ERR_SHAPE'],
    ['another type', 'w', { dtype: 'float16', shape: [2], data: new Float32Array(2) }, 'ERR_SHAPE'],
    ['an unknown type', 'w', { dtype: 'int64' as never, shape: [2], data: new Int32Array(2) }, 'ERR_DTYPE'],
    ['the reserved name', '__metadata__', { dtype: 'uint8', shape: [1], data: new Uint8Array(1) }, 'ERR_ARGUMENT'],
  ])('refuses %s', (_, name, tensor, code) => {
    expect(() => encoded(new Map([[name, tensor]]))).toThrowError(expect.objectContaining({ code }))
  })

  it('refuses metadata that is not text', () => {
    expect(() => encoded(sample, { epoch: 3 as never })).toThrowError(/metadata 'epoch' is 3/)
  })
})

describe('decodeSafetensors', () => {
  it('copies, also out of a Buffer', () => {
    const bytes = Buffer.from(encoded(sample))
    const { tensors } = decodeSafetensors(bytes, 'model')
    bytes.fill(0)
    expect(tensors).toEqual(
      new Map([...sample].sort(([a], [b]) => [...tensors.keys()].indexOf(a) - [...tensors.keys()].indexOf(b))),
    )
  })

  it('takes tensors in any order of names, and an unaligned file', () => {
    const bytes = file(`{"b":${entry('U8', [1], 1, 2)},"a":${entry('U8', [1], 0, 1)}}`, 2)
    bytes.set([10, 20], bytes.length - 2)
    const larger = new Uint8Array(bytes.length + 1)
    larger.set(bytes, 1)
    const { tensors } = decodeSafetensors(larger.subarray(1), 'model')
    expect([...tensors].map(([name, { data }]) => [name, data[0]])).toEqual([
      ['a', 10],
      ['b', 20],
    ])
  })

  it.each<[string, number, number[], number[]]>([
    ['I64', 8, [0xd6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [-42]],
    ['U64', 8, [7, 0, 0, 0, 0, 0, 0, 0], [7]],
    ['U32', 4, [0xff, 0xff, 0xff, 0x7f], [2147483647]],
    ['I16', 2, [0xfe, 0xff], [-2]],
    ['U16', 2, [0xfe, 0xff], [65534]],
    ['I8', 1, [0x80], [-128]],
  ])('reads %s as int32', (dtype, size, raw, expected) => {
    const bytes = file(`{"n":${entry(dtype, [1], 0, size)}}`, size)
    bytes.set(raw, bytes.length - size)
    expect(decodeSafetensors(bytes, 'model').tensors.get('n')).toEqual({
      dtype: 'int32',
      shape: [1],
      data: Int32Array.from(expected),
    })
  })

  const refused: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /truncated at byte 0/],
    ['a header size over the limit', file('{}', 0, 100_000_001), /header size 100000001 at byte 0/],
    ['a header size beyond 2^53', Buffer.concat([Buffer.alloc(8, 0xff), Buffer.from('{}')]), /18446744073709551615/],
    ['a header beyond the end', file('{}', 0, 99_999_999), /end at byte 100000007; the file has 10 bytes/],
    ['an empty header', file('', 8, 0), /header size 0/],
    ['a list', file('[]'), /expected '\{' at byte 8, found 0x5b/],
    ['leading space', file(' {}'), /found 0x20/],
    ['no JSON', file('{"a":}'), /not JSON in UTF-8/],
    ['bad UTF-8', Buffer.concat([file('{"a'), Buffer.alloc(0)]).fill(0xff, 9), /not JSON in UTF-8/],
    ['a tensor that is no object', file('{"a":1}'), /tensor 'a': expected an object in the header, found 1/],
    ['an unknown dtype', file(`{"a":${entry('F8_E4M3', [1], 0, 1)}}`, 1), /dtype "F8_E4M3"; expected one of F32/],
    ['a dtype of Object', file(`{"a":${entry('constructor', [1], 0, 1)}}`, 1), /dtype "constructor"/],
    ['a negative size', file(`{"a":${entry('U8', [-1], 0, 1)}}`, 1), /shape \[-1\]/],
    ['a fraction', file(`{"a":${entry('U8', [0.5], 0, 1)}}`, 1), /shape \[0.5\]/],
    ['one offset', file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}', 1), /data_offsets \[0\]/],
    ['no offsets', file('{"a":{"dtype":"U8","shape":[1]}}', 1), /data_offsets nothing/],
    ['offsets in reverse', file(`{"a":${entry('U8', [0], 1, 0)}}`, 1), /begin <= end/],
    ['an end beyond the file', file(`{"a":${entry('U8', [9], 0, 9)}}`, 1), /bytes 61 to 70 of a file of 62/],
    ['a shape of other bytes', file(`{"a":${entry('F32', [2], 0, 4)}}`, 4), /is 8 bytes; data_offsets .* hold 4 \(at/],
    ['an overflow', file(`{"a":${entry('F32', [2 ** 40, 2 ** 40], 0, 4)}}`, 4), /hold 4/],
    [
      'an overlap',
      file(`{"a":${entry('U8', [2], 0, 2)},"b":${entry('U8', [2], 1, 3)}}`, 3),
      /'b' begins at byte \d+; expected \d+, .*overlap/,
    ],
    ['a hole', file(`{"a":${entry('U8', [1], 0, 1)},"b":${entry('U8', [1], 2, 3)}}`, 3), /a hole/],
    ['a hole at the start', file(`{"a":${entry('U8', [1], 1, 2)}}`, 2), /a hole/],
    ['bytes left over', file(`{"a":${entry('U8', [1], 0, 1)}}`, 2), /the tensors end at byte \d+; the file has/],
    ['a name twice', file(`{"a":${entry('U8', [1], 0, 1)},"a":${entry('U8', [1], 0, 1)}}`, 1), /names 'a' twice/],
    [
      'a name twice, escaped',
      file(`{"a":${entry('U8', [1], 0, 1)},"\\u0061":${entry('U8', [1], 0, 1)}}`, 1),
      /'a' twice/,
    ],
    ['a key twice', file('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1), /'dtype' twice/],
    ['metadata that is no text', file('{"__metadata__":{"a":1}}'), /__metadata__ 'a': expected a string, found 1/],
    ['metadata that is no object', file('{"__metadata__":"x"}'), /__metadata__: expected an object/],
    [
      'a large I64',
      Buffer.concat([file(`{"n":${entry('I64', [1], 0, 8)}}`), Buffer.from('0000000001000000', 'hex')]),
      /integer 4294967296 at byte \d+ does not fit int32/,
    ],
    ['BOOL 2', Buffer.concat([file(`{"n":${entry('BOOL', [1], 0, 1)}}`), Buffer.of(2)]), /BOOL 2 at byte/],
    ['deep nesting', file(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`), /tensor 'a': expected an object/],
  ]
  it.each(refused)('refuses %s', (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes, 'model')).toThrowError(
      expect.objectContaining({ code: 'ERR_FORMAT', message: expect.stringMatching(message) }),
    )
    expect(() => decodeSafetensors(bytes, 'model')).toThrowError(/^model: /)
  })

  it('answers mutated bytes with tensors or a ForjaError', () => {
    const random = new RandomStream(7)
    const whole = encoded(sample, { note: 'x' })
    const headerEnd = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true))
    let refusals = 0
    for (let round = 0; round < 10_000; round++) {
      const bytes = whole.slice()
      for (let edits = 1 + random.below(3); edits > 0; edits--) {
        // Half of the edits write digits and punctuation, which more often leave the JSON whole.
        const value = random.below(2) ? '0123456789[]{},:"'.charCodeAt(random.below(17)) : random.below(256)
        bytes[random.below(random.below(4) ? headerEnd : bytes.length)] = value
      }
      const cut = random.below(4) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes
      try {
        const { tensors } = decodeSafetensors(cut, 'fuzz')
        let total = 0
        for (const { data } of tensors.values()) total += data.byteLength
        expect(total).toBeLessThanOrEqual(4 * cut.length)
      } catch (error) {
        if (!(error instanceof ForjaError)) throw error
        expect(error.code).toBe('ERR_FORMAT')
        refusals++
      }
    }
    expect(refusals).toBeGreaterThan(5000)
    expect(refusals).toBeLessThan(10_000)
  })
})

describe('writeFileAtomic', () => {
  it.each([undefined, 5, ''])('refuses %j in place of a path', async (path) => {
    await expect(writeFileAtomic(path as unknown as string, Uint8Array.of(1))).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: `the path of a file expected, got ${path === '' ? "''" : path}`,
    })
  })

  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'forja-io-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('replaces a file and leaves nothing else', async () => {
    const path = join(folder, 'model.safetensors')
    await writeFileAtomic(path, Uint8Array.of(1))
    await writeFileAtomic(path, Uint8Array.of(2, 3))
    expect(await readFile(path)).toEqual(Buffer.of(2, 3))
    expect(await readdir(folder)).toEqual(['model.safetensors'])
  })

  it.runIf(process.platform !== 'win32')('lets nobody read what was private', async () => {
    const path = join(folder, 'private')
    await writeFile(path, 'old', { mode: 0o600 })
    await writeFileAtomic(path, Buffer.from('new'))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('writes through a link', async () => {
    await writeFile(join(folder, 'real'), 'old')
    await symlink('real', join(folder, 'link'))
    await writeFileAtomic(join(folder, 'link'), Buffer.from('new'))
    expect((await readFile(join(folder, 'real'))).toString()).toBe('new')
  })

  it('leaves nothing behind where it cannot write', async () => {
    await writeFile(join(folder, 'file'), '')
    const call = writeFileAtomic(join(folder, 'file', 'model'), Uint8Array.of(1))
    await expect(call).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringMatching(/cannot be written/),
    })
    await expect(writeFileAtomic(folder, Uint8Array.of(1))).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    expect(await readdir(folder)).toEqual(['file'])
  })
})
