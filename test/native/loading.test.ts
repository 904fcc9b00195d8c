/** Binaries that are missing, broken or of another version, and the environment variables that the addon reads. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { runChildJson } from '../helpers/child.js'

interface Loaded {
  code?: string
  message?: string
  hint?: string
  sum?: number
  threads?: number
  isa?: string
}
const load = (env: Record<string, string>) => runChildJson<Loaded>('load', { env })

const folder = mkdtempSync(join(tmpdir(), 'forja-loading-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('FORJA_NATIVE_PATH', () => {
  const expectUnavailable = (result: Loaded, path: string, reason: RegExp) => {
    expect(result.code).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(result.message).toContain(path)
    expect(result.message).toMatch(reason)
    expect(result.hint).toContain('npm rebuild forja')
    expect(result.hint).toContain('npm run build:native')
  }

  it('to a missing file says what was tried and how to mend it', async () => {
    const path = join(folder, 'missing.node')
    expectUnavailable(await load({ FORJA_NATIVE_PATH: path }), path, /No such file|no such file|not found/)
  })

  it.each(['broken.node', 'script.js'])('to a text file %s does not run it', async (name) => {
    const path = join(folder, name)
    writeFileSync(path, 'process.exit(99)\n')
    expectUnavailable(await load({ FORJA_NATIVE_PATH: path }), path, /ELF|too short|mach-o|not a/i)
  })

  it.runIf(process.platform === 'linux')('to an addon of another ABI names both versions', async () => {
    const path = join(folder, 'old.node')
    const source = join(folder, 'old.c')
    const { include_dir: include } = createRequire(import.meta.url)('node-api-headers') as { include_dir: string }
    writeFileSync(
      source,
      `#include <node_api.h>
       napi_value napi_register_module_v1(napi_env env, napi_value exports) {
         napi_value version;
         napi_create_uint32(env, 999, &version);
         napi_set_named_property(env, exports, "abiVersion", version);
         return exports;
       }`,
    )
    execFileSync('cc', ['-shared', '-fPIC', `-I${include}`, '-o', path, source])
    expectUnavailable(await load({ FORJA_NATIVE_PATH: path }), path, /ABI version 999, expected \d+/)
  })
})

it('refuses an instruction set that does not exist', async () => {
  const result = await load({ FORJA_ISA: 'nonsense' })
  expect(result.code).toBe('ERR_DEVICE')
  expect(result.message).toContain('nonsense')
})

it('runs with the baseline instruction set', async () => {
  const result = await load({ FORJA_ISA: process.arch === 'arm64' ? 'neon' : 'baseline' })
  expect(result.sum).toBe(200)
})

describe('FORJA_NUM_THREADS', () => {
  it.each(['0', ''])("'%s' means the default", async (threads) => {
    const { FORJA_NUM_THREADS: _, ...unset } = process.env
    const expected = await runChildJson<Loaded>('load', { env: { ...(unset as Record<string, string>) } })
    const result = await load({ FORJA_NUM_THREADS: threads })
    expect(result.sum).toBe(200)
    if (!_) expect(result.threads).toBe(expected.threads)
  })

  it.each(['abc', '-3', '2x'])("'%s' is refused", async (threads) => {
    const result = await load({ FORJA_NUM_THREADS: threads })
    expect(result.code).toBe('ERR_DEVICE')
    expect(result.message).toContain(`'${threads}'`)
  })

  it('is cut to a multiple of the processors', async () => {
    const result = await load({ FORJA_NUM_THREADS: '5000' })
    expect(result.sum).toBe(200)
    expect(result.threads).toBeLessThan(5000)
  })
})

describe('FORJA_TUNE', () => {
  type Tuned = Record<'first' | 'second' | 'named', string[]> & { distances: number[] }
  const tuned = (env: Record<string, string>) => runChildJson<Tuned>('tune', { env })
  const file = (cache: string) => join(folder, cache, 'kernels.txt')
  const inCache = (cache: string, tune = '1') => ({ FORJA_TUNE: tune, FORJA_CACHE_DIR: join(folder, cache) })

  it.each(['1', ''])("'%s' measures the kernels of variants left open, once, and explain() says so", async (value) => {
    const { first, second, named, distances } = await tuned(inCache(`measured${value}`, value))
    expect(first).toHaveLength(3)
    for (const kernel of first) expect(kernel).toMatch(/measured$/)
    expect(second).toEqual(first)
    for (const kernel of named) expect(kernel).toMatch(/naive$/)
    for (const distance of distances) expect(distance).toBeLessThan(1e-5)
    const kernels = readFileSync(file(`measured${value}`), 'utf8').matchAll(/^[0-9a-f]{16} (.*)$/gm)
    expect([...kernels].map(([, kernel]) => `${kernel}, measured`)).toEqual(first)
  })

  it("'0' measures nothing", async () => {
    for (const kernel of (await tuned(inCache('none', '0'))).first) expect(kernel).not.toContain('measured')
    expect(existsSync(file('none'))).toBe(false)
  })

  it('takes what an earlier process chose, where it is a kernel of that operation', async () => {
    await tuned(inCache('earlier'))
    const chosen = readFileSync(file('earlier'), 'utf8')
    writeFileSync(file('earlier'), chosen.replace(/ (conv2d\w*) .*/g, ' $1 implicit'))
    const later = await tuned(inCache('earlier'))
    expect(later.first).toHaveLength(3)
    for (const kernel of later.first) expect(kernel).toMatch(/^conv2d\w* implicit, measured$/)
    writeFileSync(file('earlier'), `no space\n\n${chosen.replace(/ .*/g, ' matmul naive')}`)
    for (const kernel of (await tuned(inCache('earlier'))).first) expect(kernel).toMatch(/^conv2d.*, measured$/)
  })

  it('gets over a line that a full disk has cut', async () => {
    await tuned(inCache('cut'))
    const whole = readFileSync(file('cut'), 'utf8')
    writeFileSync(file('cut'), whole.slice(0, -4))
    const { first } = await tuned(inCache('cut'))
    const mended = readFileSync(file('cut'), 'utf8')
    expect((await tuned(inCache('cut'))).first).toEqual(first)
    expect(readFileSync(file('cut'), 'utf8')).toBe(mended)
  })

  it('does without a folder that cannot be made', async () => {
    writeFileSync(join(folder, 'file'), '')
    const { first, second } = await tuned(inCache('file/cache'))
    expect(first).toHaveLength(3)
    expect(second).toEqual(first)
  })

  it('begins a file anew that has grown large', async () => {
    mkdirSync(join(folder, 'large'))
    writeFileSync(file('large'), `${'0'.repeat(16)} conv2d naive\n`.repeat(40_000))
    await tuned(inCache('large'))
    expect(statSync(file('large')).size).toBeLessThan(1000)
  })

  it.runIf(process.platform === 'linux')('does without what is no file', async () => {
    mkdirSync(join(folder, 'pipe'))
    execFileSync('mkfifo', [file('pipe')])
    mkdirSync(join(folder, 'device'))
    symlinkSync('/dev/zero', file('device'))
    for (const cache of ['pipe', 'device']) {
      const { first, second } = await tuned(inCache(cache))
      expect(first, cache).toHaveLength(3)
      expect(second, cache).toEqual(first)
    }
  })

  it("'fast' is refused", async () => {
    const result = await load({ FORJA_TUNE: 'fast' })
    expect(result.code).toBe('ERR_DEVICE')
    expect(result.message).toContain("FORJA_TUNE must be 0 or 1: 'fast'")
  })
})

describe('FORJA_BLAS_LIB', () => {
  const multiply = (library: string) =>
    runChildJson<{ code?: string; message?: string }>('blas', { env: { FORJA_BLAS_LIB: library } })

  it('to a missing library says so where the variant is asked for', async () => {
    expect(await multiply('/missing/libblas.so')).toEqual({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining(
        'matmul blas is not available: FORJA_BLAS_LIB=/missing/libblas.so cannot be opened',
      ),
    })
  })

  it.runIf(process.platform === 'linux')('to a library without cblas_sgemm says so', async () => {
    expect(await multiply('libm.so.6')).toEqual({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining('libm.so.6 has no cblas_sgemm'),
    })
  })
})
