/** Which programs are kept, and when those that are not are released. */
import { describe, expect, it, vi } from 'vitest'
import * as fj from '../../lib/index.js'
import { KEPT } from '../../lib/runtime/compile.js'
import { resolveDevice } from '../../lib/runtime/device.js'
import { KeptProgram, ProgramCache } from '../../lib/runtime/program_cache.js'

class Fake extends KeptProgram {
  disposals = 0
  constructor(public bytes = 0) {
    super()
  }
  dispose() {
    this.disposals++
  }
}

const limits = { programs: 3, bytes: 100, always: 2 }

describe('a cache of programs', () => {
  it('lets the least recently used go where they are too many', () => {
    const cache = new ProgramCache<Fake>(limits)
    const all = Object.fromEntries([...'abcd'].map((key) => [key, new Fake()]))
    for (const key of 'abc') cache.set(key, all[key]!)
    expect(cache.get('a')).toBe(all.a)
    cache.set('d', all.d!)
    expect(cache.programs).toEqual([all.c, all.a, all.d])
    expect(cache.get('b')).toBeUndefined()
    expect(all.b!.disposals).toBe(1)
  })
  it('or hold too much memory, but for the last few', () => {
    const cache = new ProgramCache<Fake>(limits)
    const [small, large, late] = [new Fake(40), new Fake(90), new Fake()]
    cache.set('small', small)
    cache.set('large', large)
    expect(cache.programs).toEqual([small, large])
    cache.set('late', late)
    expect(cache.programs).toEqual([large, late])
    late.bytes = 500
    cache.trim()
    expect(cache.programs).toEqual([large, late])
  })
  it('releases a program after the last call that needs it', () => {
    const cache = new ProgramCache<Fake>(limits)
    const [used, next] = [new Fake(), new Fake()]
    cache.set('key', used)
    used.enter()
    used.enter()
    cache.set('key', next)
    expect(cache.get('key')).toBe(next)
    used.leave()
    expect(used.disposals).toBe(0)
    used.leave()
    expect(used.disposals).toBe(1)
    cache.retire(used) // is not here any more
    expect([used.disposals, next.disposals]).toEqual([1, 0])
    cache.retire(next)
    expect([cache.programs, next.disposals]).toEqual([[], 1])
  })
})

describe.each<[string, () => { run: (x: fj.Tensor) => Promise<fj.Tensor>; end: () => void }]>([
  [
    'a compiled function',
    () => {
      const run = fj.compile((x: fj.Tensor) => fj.sum(x.mul(3)), { device: 'cpu' })
      return { run, end: () => run.dispose() }
    },
  ],
  [
    'a session',
    () => {
      const x = fj.placeholder([null])
      const y = fj.sum(x.mul(3))
      const session = new fj.Session({ device: 'cpu' })
      return { run: (value) => session.run(y, { feed: new Map([[x, value]]) }), end: () => session.close() }
    },
  ],
])('%s', (_, make) => {
  it('keeps the programs of many shapes, not of all that it ever saw', async () => {
    const { run, end } = make()
    const sumOfOnes = async (size: number) => await (await run(fj.tensor(new Float32Array(size).fill(1)))).item()
    const compile = vi.spyOn(resolveDevice('cpu'), 'compile')
    try {
      const sizes = Array.from({ length: KEPT.programs + 10 }, (_, i) => i + 1)
      // All at once: the first ones are let go before they were compiled.
      const sums = await Promise.all(sizes.map(sumOfOnes))
      expect(sums).toEqual(sizes.map((size) => 3 * size))
      const compiled = async (size: number) => {
        const before = compile.mock.calls.length
        expect(await sumOfOnes(size)).toBe(3 * size)
        return compile.mock.calls.length - before
      }
      expect(await compiled(sizes.length)).toBe(0)
      expect(await compiled(11)).toBe(0)
      expect(await compiled(1)).toBeGreaterThan(0)
      expect(await compiled(12)).toBeGreaterThan(0) // was the oldest when that came back
      const executables = await Promise.all(compile.mock.results.map(({ value }) => value))
      const released = executables.filter((executable) => {
        try {
          executable.run([new Float32Array(1)])
        } catch (error) {
          return (error as fj.ForjaError).code === 'ERR_DISPOSED'
        }
        return false
      })
      expect(released.length).toBe(executables.length - KEPT.programs)
    } finally {
      compile.mockRestore()
      end()
    }
  })
})
