import { createHash } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { cacheFolder, dataFolders, findFile, locateFile, verifyFile } from '../../lib/data/cache.js'
import { fashionMnist, mnist } from '../../lib/data/mnist.js'
import { SOURCES, type Source } from '../../lib/data/sources.js'
import type { ForjaError } from '../../lib/errors.js'
import { serve, startMirror, temporaryFolder } from './mirror.js'

const [trainImages, trainLabels, testImages, testLabels] = SOURCES.mnist.files.map(({ name }) => name) as [
  string,
  string,
  string,
  string,
]

function images(count: number, rows = 28): Uint8Array {
  const out = Buffer.alloc(16 + count * rows * 28, 7)
  out.writeUInt32BE(0x803)
  for (const [d, size] of [count, rows, 28].entries()) out.writeUInt32BE(size, 4 + 4 * d)
  return out
}

function labels(values: number[]): Uint8Array {
  const out = Buffer.alloc(8 + values.length)
  out.writeUInt32BE(0x801)
  out.writeUInt32BE(values.length, 4)
  out.set(values, 8)
  return out
}

async function put(folder: string, files: Record<string, Uint8Array>): Promise<string> {
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
  return folder
}

const small = {
  [`mnist/${trainImages}`]: gzipSync(images(3)),
  [`mnist/${trainLabels}`]: gzipSync(labels([5, 0, 9])),
  // Unpacked, the other way a folder may hold them.
  [`mnist/${testImages.slice(0, -3)}`]: images(2),
  [`mnist/${testLabels.slice(0, -3)}`]: labels([1, 2]),
}

describe('where files are looked for', () => {
  it('is dir, FORJA_DATA_DIR, then the cache', () => {
    const env = { FORJA_DATA_DIR: '/b', XDG_CACHE_HOME: '/c' }
    expect(dataFolders({ dir: '/a', env })).toEqual([
      { path: '/a', origin: 'dir' },
      { path: '/b', origin: 'FORJA_DATA_DIR' },
      { path: '/c/forja', origin: 'cache' },
    ])
    expect(dataFolders({ env: {} })).toEqual([{ path: join(homedir(), '.cache', 'forja'), origin: 'cache' }])
    expect(cacheFolder({ XDG_CACHE_HOME: 'relative' })).toBe(join(homedir(), '.cache', 'forja'))
  })

  it('finds the first of them, packed before unpacked', async () => {
    const first = await put(await temporaryFolder(), { [`mnist/${testLabels}`]: labels([1]) })
    const second = await put(await temporaryFolder(), small)
    const env = { FORJA_DATA_DIR: second, XDG_CACHE_HOME: '/nowhere' }
    const find = (index: number) => findFile(SOURCES.mnist, SOURCES.mnist.files[index]!, { dir: first, env })
    expect(await find(3)).toBe(join(first, 'mnist', testLabels))
    expect(await find(2)).toBe(join(second, 'mnist', testImages.slice(0, -3)))
  })
})

describe('mnist', () => {
  it('reads images as [N, 1, 28, 28] and labels', async () => {
    const { train, test } = await mnist({ dir: await put(await temporaryFolder(), small), offline: true })
    expect([train.length, test.length]).toEqual([3, 2])
    expect(train.fields[0]).toMatchObject({ shape: [1, 28, 28], dtype: 'uint8' })
    expect(train.y).toEqual(Int32Array.of(5, 0, 9))
    expect(train.classNames?.[9]).toBe('9')
    expect(train.get(0).x[0]).toBeCloseTo((7 / 255 - 0.1307) / 0.3081, 6)
    expect(test.get(1, { raw: true }).x[783]).toBe(7)
  })

  it.each([
    ['images of another size', { [`mnist/${trainImages}`]: images(3, 27) }, /expected uint8 images \[N, 28, 28\]/],
    ['fewer labels', { [`mnist/${trainLabels}`]: labels([1]) }, /expected uint8 labels \[3\]/],
    ['a label of 10', { [`mnist/${trainLabels}`]: labels([1, 10, 2]) }, /label 10 of sample 1 at byte 9/],
    ['a cut file', { [`mnist/${trainImages}`]: images(3).subarray(0, 500) }, /truncated/],
  ])('refuses %s', async (_, change, message) => {
    const dir = await put(await temporaryFolder(), { ...small, ...change })
    await expect(mnist({ dir, offline: true })).rejects.toMatchObject({
      code: 'ERR_FORMAT',
      message: expect.stringMatching(message),
    })
  })

  it('says where it looked, what it would have fetched and what to do, when offline', async () => {
    const cache = await temporaryFolder()
    const env = { XDG_CACHE_HOME: cache, FORJA_OFFLINE: '1', FORJA_DATA_DIR: '/nowhere/b' }
    const call = fashionMnist({ dir: '/nowhere/a', env })
    await expect(call).rejects.toMatchObject({ code: 'ERR_OFFLINE' })
    const { message, hint } = await call.then(
      () => expect.fail('found it'),
      (error: ForjaError) => error,
    )
    for (const folder of ['/nowhere/a', '/nowhere/b', join(cache, 'forja')]) {
      expect(message).toContain(join(folder, 'fashion-mnist', 'train-images-idx3-ubyte.gz'))
      expect(message).toContain(`${join(folder, 'fashion-mnist', 'train-images-idx3-ubyte')}\n`)
    }
    for (const mirror of SOURCES.fashionMnist.mirrors) expect(message).toContain(`${mirror}train-images-idx3-ubyte.gz`)
    expect(hint).toContain(join(cache, 'forja', 'fashion-mnist', 'train-images-idx3-ubyte.gz'))
  })
})

describe('locateFile', () => {
  const content = gzipSync(labels([1, 2, 3]))
  const file = {
    name: 'labels.gz',
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
    plainSha256: createHash('sha256')
      .update(labels([1, 2, 3]))
      .digest('hex'),
  }
  const source = (mirrors: string[]): Source => ({
    name: 'small',
    title: 'Small',
    license: 'MIT',
    mirrors,
    files: [file],
  })

  it('fetches into the cache once', async () => {
    const mirror = await startMirror(serve(content))
    const env = { XDG_CACHE_HOME: await temporaryFolder() }
    const seen: string[] = []
    const options = { env, onProgress: ({ file }: { file: string }) => seen.push(file) }
    const path = await locateFile(source([`${mirror.url}x/`]), file, options)
    expect(path).toBe(join(env.XDG_CACHE_HOME, 'forja', 'small', 'labels.gz'))
    expect(await locateFile(source([mirror.url]), file, options)).toBe(path)
    expect(mirror.requests).toEqual([{ path: '/x/labels.gz', range: '' }])
    expect(seen).toContain('labels.gz')
  })

  it('tries the mirror that the user names before those that are known', async () => {
    const [known, own] = [await startMirror(serve(content)), await startMirror(serve(content))]
    const cache = await temporaryFolder()
    const options = { env: { XDG_CACHE_HOME: cache }, mirror: `${own.url}lab` }
    await locateFile(source([known.url]), file, options)
    expect(own.requests).toEqual([{ path: '/lab/labels.gz', range: '' }])
    expect(known.requests).toEqual([])
  })

  it('says no more than that where the cache cannot be written', async () => {
    const mirror = await startMirror(serve(content))
    const folder = await temporaryFolder()
    const cache = join(folder, 'cache')
    await writeFile(cache, 'a file where the folder should be')
    await expect(locateFile(source([mirror.url]), file, { env: { XDG_CACHE_HOME: cache } })).rejects.toMatchObject({
      code: 'ERR_OFFLINE',
      message: expect.stringMatching(/^\/.*labels\.gz cannot be written: .*\n {2}hint {2}The cache folder [^\n]*$/),
    })
  })

  it('says what lies in the place of the file', async () => {
    const dir = await temporaryFolder()
    await mkdir(join(dir, 'small', 'labels.gz'), { recursive: true })
    await symlink('labels', join(dir, 'small', 'labels')) // a link to itself
    const call = locateFile(source([]), file, { dir, env: { XDG_CACHE_HOME: dir } })
    await expect(call).rejects.toThrow(`\n  ${join(dir, 'small', 'labels.gz')} (a folder)\n`)
    await expect(call).rejects.toThrow(`\n  ${join(dir, 'small', 'labels')} (ELOOP)\n`)
  })

  it('asks nobody when offline', async () => {
    const mirror = await startMirror(serve(content))
    const env = { XDG_CACHE_HOME: await temporaryFolder() }
    for (const options of [{ env, offline: true }, { env: { ...env, FORJA_OFFLINE: '1' } }]) {
      await expect(locateFile(source([mirror.url]), file, options)).rejects.toMatchObject({ code: 'ERR_OFFLINE' })
    }
    expect(mirror.requests).toEqual([])
  })

  it('tells what each mirror answered, and the manual way', async () => {
    const mirror = await startMirror((_, response) => response.writeHead(403).end())
    const env = { XDG_CACHE_HOME: await temporaryFolder() }
    const call = locateFile(source([mirror.url]), file, { env })
    await expect(call).rejects.toMatchObject({ code: 'ERR_OFFLINE', hint: expect.stringContaining('small/labels.gz') })
    await expect(call).rejects.toThrowError(`${mirror.url}labels.gz: HTTP 403`)
  })

  it('verifies a file as served, packed anew or unpacked', async () => {
    const plain = labels([1, 2, 3])
    const folder = await put(await temporaryFolder(), {
      'a.gz': content,
      'b.gz': gzipSync(plain, { level: 0 }),
      c: plain,
      'd.gz': gzipSync(labels([1, 2, 4])),
      'e.gz': content.subarray(0, 20),
    })
    for (const name of ['a.gz', 'b.gz', 'c']) await verifyFile(join(folder, name), file)
    await expect(verifyFile(join(folder, 'd.gz'), file)).rejects.toMatchObject({
      code: 'ERR_CHECKSUM',
      message: expect.stringContaining(file.sha256),
    })
    await expect(verifyFile(join(folder, 'e.gz'), file)).rejects.toMatchObject({ code: 'ERR_FORMAT' })
  })
})

describe('the real MNIST', () => {
  const dir = process.env.FORJA_DATA_DIR
  it('is what the checksums say, in every pixel', async ({ skip }) => {
    const leave = (reason: string) => {
      console.warn(`the real MNIST is not checked: ${reason}`)
      skip(reason)
    }
    if (!dir) leave('FORJA_DATA_DIR is not set')
    const paths = await Promise.all(
      SOURCES.mnist.files.map((file) => findFile(SOURCES.mnist, file, { env: { FORJA_DATA_DIR: dir } })),
    )
    if (paths.includes(undefined)) leave(`FORJA_DATA_DIR=${dir} holds no mnist folder with the four files`)
    for (const [i, file] of SOURCES.mnist.files.entries()) await verifyFile(paths[i]!, file)
    const { train, test } = await mnist({ offline: true })
    expect([train.length, test.length]).toEqual([60_000, 10_000])
    const raw = await readFile(paths[0]!)
    const plain = paths[0]!.endsWith('.gz') ? gunzipSync(raw) : raw
    expect(Buffer.compare(plain.subarray(16), train.x as Uint8Array)).toBe(0)
    const counts = new Array<number>(10).fill(0)
    for (const label of train.y) counts[label]!++
    expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
  })
})
