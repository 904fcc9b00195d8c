import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { findUnpacked } from '../../lib/data/cache.js'
import { cifar10 } from '../../lib/data/cifar10.js'
import { SOURCES } from '../../lib/data/sources.js'
import { parseTar } from '../../lib/data/tar.js'
import { temporaryFolder } from './mirror.js'

const NAMES = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`)

/** Record: label, and every pixel of the planes 10, 20, 30 more than the label. */
function batch(labels: number[]): Buffer {
  return Buffer.concat(
    labels.map((label) =>
      Buffer.concat([Buffer.of(label), ...[10, 20, 30].map((value) => Buffer.alloc(1024, value + label))]),
    ),
  )
}

const FILES: Record<string, Buffer> = Object.fromEntries([
  ...NAMES.map((name, i) => [name, batch([i, 9 - i])]),
  ['test_batch.bin', batch([7])],
])

async function put(files: Record<string, Uint8Array>, under: string): Promise<string> {
  const dir = await temporaryFolder()
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(dir, under, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, bytes)
  }
  return dir
}

/** A POSIX tar: name, mode, size in octal, type; the other fields are not read. */
function tar(files: Record<string, Uint8Array>): Buffer {
  const parts: Uint8Array[] = []
  for (const [name, bytes] of Object.entries(files)) {
    const header = Buffer.alloc(512)
    header.write(name)
    header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124)
    header.write(name.endsWith('/') ? '5' : '0', 156)
    parts.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512))
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

const ARCHIVE = tar({
  'cifar-10-batches-bin/': Buffer.alloc(0),
  'cifar-10-batches-bin/readme.html': Buffer.from('x'),
  ...Object.fromEntries(Object.entries(FILES).map(([name, bytes]) => [`cifar-10-batches-bin/${name}`, bytes])),
})

describe('cifar10', () => {
  it.each([
    ['unpacked', () => put(FILES, 'cifar10/cifar-10-batches-bin')],
    ['unpacked, without the inner folder', () => put(FILES, 'cifar10')],
    ['packed', () => put({ 'cifar-10-binary.tar.gz': gzipSync(ARCHIVE) }, 'cifar10')],
    ['a plain archive', () => put({ 'cifar-10-binary.tar': ARCHIVE }, 'cifar10')],
  ])('reads the binary form, %s', async (_, make) => {
    const { train, test } = await cifar10({ dir: await make(), offline: true })
    expect([train.length, test.length]).toEqual([10, 1])
    expect(train.fields[0]).toMatchObject({ shape: [3, 32, 32], dtype: 'uint8' })
    expect(train.y).toEqual(Int32Array.of(0, 9, 1, 8, 2, 7, 3, 6, 4, 5))
    expect(test.classNames?.[7]).toBe('horse')
    const { x } = train.get(1)
    for (const [c, [mean, deviation]] of [
      [0.4914, 0.247],
      [0.4822, 0.2435],
      [0.4465, 0.2616],
    ].entries()) {
      expect(x[c * 1024 + 1023]).toBeCloseTo(((10 + 10 * c + 9) / 255 - mean!) / deviation!, 5)
    }
  })

  it('reads a folder of images, where the labels follow the names of the classes', async () => {
    const dir = await temporaryFolder()
    const names = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
    for (const [label, name] of names.entries()) {
      for (const part of ['train', 'test']) {
        await mkdir(join(dir, 'cifar10', part, name), { recursive: true })
        const background = { r: 20 * label, g: 100, b: 7 }
        const image = sharp({ create: { width: 32, height: 32, channels: 3, background } })
        await image.png().toFile(join(dir, 'cifar10', part, name, '0001.png'))
      }
    }
    const seen: number[] = []
    const { train, test } = await cifar10({ dir, onDecode: ({ done }) => seen.push(done) })
    expect([train.length, test.length]).toEqual([10, 10])
    expect(train.y).toEqual(Int32Array.from({ length: 10 }, (_, i) => i))
    expect(Array.from(train.x).filter((_, i) => i % 3072 === 0)).toEqual(names.map((_, label) => 20 * label))
    expect(seen).toEqual([
      ...Array.from({ length: 10 }, (_, i) => i + 1),
      ...Array.from({ length: 10 }, (_, i) => i + 1),
    ])
  })

  it.each([
    [
      'data_batch_2.bin',
      batch([1, 2, 3]).subarray(0, 3073 * 2 + 100),
      'data_batch_2.bin: 6246 bytes; expected whole records of 3073 bytes (10,000 of them, 30,730,000 bytes, in the ' +
        'original): record 2 at byte 6146 has 100',
    ],
    ['test_batch.bin', Buffer.alloc(0), 'test_batch.bin: 0 bytes; expected whole records of 3073 bytes'],
    ['data_batch_5.bin', batch([1, 10]), 'data_batch_5.bin: label 10 of record 1 at byte 3073; expected 0 to 9'],
  ])('a broken %s is told with its byte', async (name, bytes, message) => {
    const dir = await put({ ...FILES, [name]: bytes }, 'cifar10')
    const call = cifar10({ dir })
    await expect(call).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    await expect(call).rejects.toThrow(`${join(dir, 'cifar10')}/${message}`)
  })

  it('takes an archive in an earlier folder before images in a later one', async () => {
    const dir = await put({ 'cifar-10-binary.tar.gz': gzipSync(ARCHIVE) }, 'cifar10')
    const env = { FORJA_DATA_DIR: await put({ 'train/cat/broken.jpg': Buffer.of(1) }, 'cifar10') }
    expect((await cifar10({ dir, env })).train.length).toBe(10)
    await expect(cifar10({ env })).rejects.toMatchObject({ code: 'ERR_FORMAT' })
  })

  it('names a batch that is missing, in a folder and in an archive', async () => {
    const { 'data_batch_3.bin': _, ...others } = FILES
    await expect(cifar10({ dir: await put(others, 'cifar10') })).rejects.toThrow(
      /cifar10\/data_batch_3\.bin cannot be read: ENOENT/,
    )
    const dir = await put({ 'cifar-10-binary.tar.gz': gzipSync(tar(others)) }, 'cifar10')
    await expect(cifar10({ dir })).rejects.toThrow(/cifar-10-binary\.tar\.gz: the archive has no data_batch_3\.bin/)
  })

  it('tells a broken archive', async () => {
    const broken = await put({ 'cifar-10-binary.tar.gz': gzipSync(ARCHIVE).subarray(0, 300) }, 'cifar10')
    await expect(cifar10({ dir: broken })).rejects.toThrow(
      /tar\.gz: the gzip stream cannot be read: unexpected end of file/,
    )
  })

  it('asks the mirrors last, and says where it looked', async () => {
    const env = { XDG_CACHE_HOME: await temporaryFolder(), FORJA_OFFLINE: '1' }
    const call = cifar10({ env })
    await expect(call).rejects.toMatchObject({ code: 'ERR_OFFLINE' })
    for (const text of [
      'cifar-10-binary.tar.gz',
      'cifar-10-batches-bin/test_batch.bin',
      'cifar10/train',
      'cs.toronto.edu',
    ]) {
      await expect(call).rejects.toThrow(text)
    }
  })
})

describe('parseTar', () => {
  it('gives regular files only', () => {
    expect([...parseTar(ARCHIVE, 'a.tar').keys()][0]).toBe('cifar-10-batches-bin/readme.html')
    expect(parseTar(Buffer.alloc(1024), 'empty').size).toBe(0)
  })

  it.each([
    [ARCHIVE.subarray(0, 100), 'a.tar: not a whole tar archive: expected a header of 512 bytes at byte 0, found 100'],
    [ARCHIVE.subarray(0, 3000), 'expected 6146 bytes of cifar-10-batches-bin/data_batch_1.bin at byte 2048, found 952'],
    [Buffer.alloc(512, 'x'), 'expected an octal size at byte 124, found "xxxxxxxxxxxx"'],
  ])('tells where it breaks', (bytes, message) => {
    expect(() => parseTar(bytes, 'a.tar')).toThrow(message)
  })
})

describe('the real CIFAR-10', () => {
  it('has 60,000 images', async ({ skip }) => {
    const dir = process.env.FORJA_DATA_DIR
    const found = dir && (await findUnpacked(SOURCES.cifar10, { env: { FORJA_DATA_DIR: dir } }))
    // A folder of JPEG takes a minute to decode: only the binary form is read here.
    if (!found || found.endsWith('train')) {
      const reason = 'FORJA_DATA_DIR names no folder with cifar10/cifar-10-batches-bin'
      console.warn(`the real CIFAR-10 is not checked: ${reason}`)
      skip(reason)
    }
    const { train, test } = await cifar10({ offline: true })
    expect([train.length, test.length]).toEqual([50_000, 10_000])
    const counts = new Array<number>(10).fill(0)
    for (const label of train.y) counts[label]!++
    expect(counts).toEqual(new Array(10).fill(5000))
  })
})
