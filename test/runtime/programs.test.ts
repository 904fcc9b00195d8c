/** Which programs of a function are kept. */
import { describe, expect, it } from 'vitest'
import type { Traced } from '../../lib/runtime/compile.js'
import type { Device } from '../../lib/runtime/device.js'
import { Programs } from '../../lib/runtime/programs.js'

class Program {
  users = 0
  isRefused = false
  disposed = false
  constructor(readonly bytes: number) {}
  dispose() {
    this.disposed = true
  }
}

/** Programs of as many bytes each on a device of `memoryBytes`, and what finds them. */
function kept(memoryBytes: number, bytes: number) {
  const programs = new Programs({ memoryBytes } as Device)
  const find = (key: string | number) =>
    programs.find(String(key), () => new Program(bytes) as unknown as Traced) as unknown as Program
  return { programs, find }
}

describe('programs', () => {
  it('are kept up to 256, those used last', () => {
    const { find } = kept(Number.POSITIVE_INFINITY, 1)
    const all = Array.from({ length: 256 }, (_, i) => find(i))
    expect(find(0)).toBe(all[0])
    find('new')
    expect(all.flatMap(({ disposed }, i) => (disposed ? i : []))).toEqual([1])
    expect(find(1)).not.toBe(all[1])
  })

  it('take a quarter of the memory at most, but for the newest', () => {
    const { find } = kept(1000, 100)
    const all = [1, 2, 3].map(find)
    expect(all.map(({ disposed }) => disposed)).toEqual([true, false, false])
    const large = kept(1000, 300)
    expect([1, 2].map(large.find).map(({ disposed }) => disposed)).toEqual([true, false])
  })

  it('stay while they are used', () => {
    const { find } = kept(1000, 200)
    const [first, second] = [find(1), find(2)]
    expect(first!.disposed).toBe(true)
    second!.users = 1
    find(3)
    expect(second!.disposed).toBe(false)
    second!.users = 0
    find(4)
    expect(second!.disposed).toBe(true)
  })

  it('are made anew where they could not be compiled, and disposed together', () => {
    const { programs, find } = kept(1000, 1)
    const refused = find(1)
    refused.isRefused = true
    const next = find(1)
    expect(next).not.toBe(refused)
    programs.dispose()
    expect(next.disposed).toBe(true)
  })
})
