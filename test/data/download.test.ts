import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type DownloadOptions, download } from '../../lib/data/download.js'
import { AbortError } from '../../lib/errors.js'
import { RandomStream } from '../../lib/random.js'
import { breakAfter, serve, startMirror, temporaryFolder } from './mirror.js'

const random = new RandomStream(3)
const content = Uint8Array.from({ length: 300_000 }, () => random.below(256))
const sha256 = createHash('sha256').update(content).digest('hex')

async function setUp() {
  const folder = await temporaryFolder()
  const to = join(folder, 'set', 'file.gz')
  const get = (urls: string[], options?: DownloadOptions) =>
    download({ urls, to, bytes: content.length, sha256 }, options)
  return { folder, to, part: `${to}.part`, get }
}

const same = async (path: string) => Buffer.compare(await readFile(path), content) === 0

describe('download', () => {
  it('fetches, reports progress and leaves only the file', async () => {
    const { to, get } = await setUp()
    const mirror = await startMirror(serve(content))
    const seen: number[] = []
    await get([`${mirror.url}file.gz`], { onProgress: ({ received, total }) => seen.push(received / total) })
    expect(await same(to)).toBe(true)
    expect(await readdir(join(to, '..'))).toEqual(['file.gz'])
    expect(mirror.requests).toEqual([{ path: '/file.gz', range: '' }])
    expect(seen.at(-1)).toBe(1)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  it('takes the second mirror when the first answers 404', async () => {
    const { to, get } = await setUp()
    const first = await startMirror((_, response) => response.writeHead(404).end('no'))
    const second = await startMirror(serve(content))
    await get([`${first.url}a`, `${second.url}a`])
    expect(first.requests).toHaveLength(1)
    expect(await same(to)).toBe(true)
  })

  it('goes on where an earlier call stopped', async () => {
    const { to, part, get } = await setUp()
    await mkdir(join(to, '..'), { recursive: true })
    await writeFile(part, content.subarray(0, 123_456))
    const mirror = await startMirror(serve(content))
    await get([`${mirror.url}a`])
    expect(mirror.requests).toEqual([{ path: '/a', range: 'bytes=123456-' }])
    expect(await same(to)).toBe(true)
  })

  it('asks a mirror again as long as each try brings more', async () => {
    const { to, get } = await setUp()
    const mirror = await startMirror(breakAfter(100_000, content))
    await get([`${mirror.url}a`])
    expect(mirror.requests.map(({ range }) => range)).toEqual(['', 'bytes=100000-', 'bytes=200000-'])
    expect(await same(to)).toBe(true)
  })

  it('goes on at the next mirror with what the first one gave', async () => {
    const { to, get } = await setUp()
    let calls = 0
    const first = await startMirror((request, response) => {
      if (calls++ === 0) breakAfter(1000, content)(request, response)
      else response.writeHead(503).end()
    })
    const second = await startMirror(serve(content))
    await get([`${first.url}a`, `${second.url}a`])
    expect(second.requests).toEqual([{ path: '/a', range: 'bytes=1000-' }])
    expect(await same(to)).toBe(true)
  })

  it('starts over when the server knows no ranges', async () => {
    const { to, part, get } = await setUp()
    await mkdir(join(to, '..'), { recursive: true })
    await writeFile(part, content.subarray(0, 5000))
    const mirror = await startMirror((_, response) => response.writeHead(200).end(content))
    await get([`${mirror.url}a`])
    expect(await same(to)).toBe(true)
  })

  it.each([5000, content.length, content.length + 1])(
    'fetches anew when %i bytes of an earlier call turn out to be wrong',
    async (bytes) => {
      const { to, part, get } = await setUp()
      await mkdir(join(to, '..'), { recursive: true })
      await writeFile(part, new Uint8Array(bytes))
      const mirror = await startMirror(serve(content))
      await get([`${mirror.url}a`])
      expect(mirror.requests.at(-1)).toEqual({ path: '/a', range: '' })
      expect(await same(to)).toBe(true)
      expect(await readdir(join(to, '..'))).toEqual(['file.gz'])
    },
  )

  it('passes a mirror over whose checksum is wrong, and says so if there is no other', async () => {
    const { to, get } = await setUp()
    const bad = content.slice()
    bad[77]! ^= 1
    const found = createHash('sha256').update(bad).digest('hex')
    const wrong = await startMirror(serve(bad))
    const call = get([`${wrong.url}a`])
    await expect(call).rejects.toMatchObject({ code: 'ERR_CHECKSUM' })
    await expect(call).rejects.toThrowError(`SHA-256 expected ${sha256}, found ${found}`)
    expect(await readdir(join(to, '..'))).toEqual([])
    expect(wrong.requests).toHaveLength(1)
    const right = await startMirror(serve(content))
    await get([`${wrong.url}a`, `${right.url}a`])
    expect(await same(to)).toBe(true)
  })

  it('stops a mirror that sends more than it should', async () => {
    const { get } = await setUp()
    const mirror = await startMirror((_, response) => {
      response.writeHead(200)
      const more = () => {
        while (response.writable && response.write(content)) {}
        if (response.writable) response.once('drain', more)
      }
      more()
    })
    await expect(get([`${mirror.url}a`])).rejects.toMatchObject({
      code: 'ERR_OFFLINE',
      message: expect.stringMatching(/sends more than the 300000 bytes/),
    })
    expect(mirror.requests).toHaveLength(1)
  })

  it('gives up a mirror that falls silent', async () => {
    const { get } = await setUp()
    const mirror = await startMirror((_, response) => {
      response.writeHead(200)
      response.write(content.subarray(0, 10))
    })
    const started = performance.now()
    await expect(get([`${mirror.url}a`], { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'ERR_OFFLINE',
      message: expect.stringMatching(/no data for 0.1 s/),
    })
    expect(performance.now() - started).toBeLessThan(5000)
  })

  it('names every address and reason', async () => {
    const { get } = await setUp()
    const gone = await startMirror((_, response) => response.writeHead(410).end())
    const call = get([`${gone.url}a`, 'http://127.0.0.1:1/b', 'nonsense'])
    await expect(call).rejects.toMatchObject({ code: 'ERR_OFFLINE' })
    await expect(call).rejects.toThrowError(`${gone.url}a: HTTP 410`)
    await expect(call).rejects.toThrowError('http://127.0.0.1:1/b: ')
    await expect(call).rejects.toThrowError('nonsense: ')
  })

  it('stops when the signal says so, keeps what it has, and goes on later', async () => {
    const { to, part, get } = await setUp()
    let calls = 0
    const mirror = await startMirror((request, response) => {
      if (calls++ > 0) return serve(content)(request, response)
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, 4000))
    })
    const controller = new AbortController()
    const call = get([`${mirror.url}a`, `${mirror.url}b`], {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await expect(call).rejects.toBeInstanceOf(AbortError)
    expect(mirror.requests).toHaveLength(1)
    expect((await readFile(part)).length).toBe(4000)
    await get([`${mirror.url}a`])
    expect(mirror.requests.at(-1)!.range).toBe('bytes=4000-')
    expect(await same(to)).toBe(true)
  })

  it('rejects with the reason that the signal carries, before asking anyone', async () => {
    const { get } = await setUp()
    const mirror = await startMirror(serve(content))
    const reason = new Error('lesson over')
    await expect(get([`${mirror.url}a`], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(mirror.requests).toEqual([])
  })

  it('wants a list of mirrors', async () => {
    await expect(download(undefined as never)).rejects.toThrow('download: urls must be an array, got undefined')
    const request = { urls: [], to: 'nowhere', bytes: Number.NaN, sha256: '' }
    await expect(download(request)).rejects.toThrow('download: bytes NaN; expected an integer from 0')
  })

  it('blames the folder, not the mirror, where it cannot write', async () => {
    const { folder, get } = await setUp()
    await writeFile(join(folder, 'set'), 'a file where the folder should be')
    const mirror = await startMirror(serve(content))
    await expect(get([`${mirror.url}a`])).rejects.toMatchObject({
      code: 'ERR_OFFLINE',
      message: expect.stringMatching(/file\.gz cannot be written/),
    })
    expect(mirror.requests).toEqual([])
  })
})
