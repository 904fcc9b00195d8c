/** The native boundary under everything a Node process can do to it: workers, termination, exit, collection. */
import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import { addonPath } from '../../lib/runtime/addon.js'
import { runChild, runChildJson } from '../helpers/child.js'

const MB = 2 ** 20
// Room for other processes on the same processors: what is told apart here is "at once" from "after the whole job".
const PROMPT_MS = 5000

describe('worker threads', () => {
  it.each([
    ['return', 4, 20],
    ['exit', 4, 4],
    ['terminate', 6, 4],
  ])('survives workers that end by %s', async (ending, workers, runs) => {
    const args = [ending, `${workers}`, `${runs}`]
    const { slowestStop, stops } = await runChildJson<{ slowestStop: number; stops: number }>('in_worker', { args })
    expect(stops).toBe(ending === 'terminate' ? workers : 0)
    expect(slowestStop).toBeLessThan(PROMPT_MS)
  })
})

it.runIf(process.platform === 'linux')('keeps one team of threads however many runs are in flight', async () => {
  const { before, most } = await runChildJson<{ before: number; most: number }>('threads')
  // The executor, and a team of one thread a processor with the executor as its first.
  expect(most).toBeLessThanOrEqual(before + 1 + availableParallelism())
})

it('keeps the process alive until every run in flight is answered, and no longer', async () => {
  const { done } = await runChildJson<{ done: string[] }>('in_flight')
  expect(done).toEqual(['short', 'long'])
})

it('lets the event loop turn between programs so short that they run on its thread', async () => {
  const { fired, calls, counted } = await runChildJson<{ fired: boolean; calls: number; counted: number }>('turns')
  expect(fired).toBe(true)
  expect(counted).toBe(calls)
})

it('ends promptly and with its code when process.exit is called with work in flight', async () => {
  const result = await runChild('exit')
  expect({ code: result.code, signal: result.signal }).toEqual({ code: 7, signal: null })
  const { exitAt } = JSON.parse(result.stdout) as { exitAt: number }
  expect(Date.now() - exitAt).toBeLessThan(PROMPT_MS)
})

it('leaves nothing behind that keeps the process alive after rejected calls', async () => {
  const { codes } = await runChildJson<{ codes: string[] }>('rejected')
  expect(codes).toEqual(['AbortError', 'AbortError', 'ERR_DISPOSED', 'ERR_DISPOSED', 'ERR_DISPOSED'])
})

it.runIf(process.platform === 'linux')(
  'says so where the process has no memory for a result, and goes on',
  async () => {
    const { failures, alive } = await runChildJson<{ failures: string[]; alive: number[] }>('no_memory')
    const none = 'ERR_OUT_OF_MEMORY: no memory for a result of 2147483648 bytes'
    expect({ failures, alive }).toEqual({ failures: [none, none], alive: [2, 2] })
  },
)

describe('memory', () => {
  // The young generation grows by 30 MB where a run happens to need it, which would hide a leak.
  const nodeArgs = ['--expose-gc', '--max-semi-space-size=2']

  it('is flat over 100 cycles of create, run, dispose', async () => {
    const { warm, end } = await runChildJson<{ warm: number; end: number }>('cycles', { args: ['100'], nodeArgs })
    // Each cycle allocates more than 2 MB natively: a leak would show as 200 MB.
    expect(end - warm).toBeLessThan(20 * MB)
  })

  it('of 1000 undisposed variables and programs is given back by collection', { timeout: 180_000 }, async () => {
    const options = { args: ['1000'], nodeArgs, timeoutMs: 170_000 }
    const { warm, end } = await runChildJson<{ warm: number; end: number }>('collected', options)
    // 750 MB went through.
    expect(end - warm).toBeLessThan(75 * MB)
  })

  it('outside the JavaScript heap is reported to V8 and taken back', async () => {
    const seen = await runChildJson<Record<string, number>>('external', { nodeArgs })
    expect(seen.withBuffers).toBeCloseTo(32, 0)
    expect(seen.afterDispose).toBeCloseTo(24, 0)
    expect(seen.afterCollection).toBeCloseTo(0, 0)
    expect(seen.withProgram).toBeGreaterThanOrEqual(16)
    expect(seen.afterProgram).toBeCloseTo(0, 0)
  })

  it('is flat over 10,000 steps, which hardly delay the event loop', { timeout: 180_000 }, async () => {
    const options = { args: ['10000'], nodeArgs, timeoutMs: 170_000 }
    const { warm, end, first, last, p99 } = await runChildJson<Record<string, number>>('steps', options)
    expect(end! / warm!).toBeLessThan(1.05)
    expect(last!).toBeLessThan(first!)
    expect(p99!).toBeLessThan(5)
  })
})

describe.runIf(process.platform === 'linux')('the addon as a file', () => {
  const run = (tool: string, ...args: string[]) => execFileSync(tool, [...args, addonPath()], { encoding: 'utf8' })

  it('exports only what Node calls', () => {
    const symbols = run('nm', '-D', '--defined-only').trim().split('\n')
    expect(symbols.map((line) => line.split(' ').at(-1)).sort()).toEqual([
      'napi_register_module_v1',
      'node_api_module_get_api_version_v1',
    ])
  })

  it('needs no library of NVIDIA and is never unloaded', () => {
    const dynamic = run('readelf', '-d')
    const needed = [...dynamic.matchAll(/Shared library: \[(.+?)\]/g)].map((match) => match[1]!)
    expect(needed.length).toBeGreaterThan(0)
    expect(needed.filter((name) => /cuda|cublas|cudnn|nvidia|nvrtc|cupti/i.test(name))).toEqual([])
    expect(dynamic).toContain('NODELETE')
  })
})
