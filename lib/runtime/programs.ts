/**
 * The programs of one compiled function or session. Those used last are kept: calls with ever new shapes, such as
 * sentences of any length, would fill the memory otherwise.
 */
import type { Traced } from './compile.js'
import type { Device } from './device.js'

/** Programs kept beside those in use, and the share of the device's memory that they may hold together. */
const COUNT = 256
const SHARE = 1 / 4

export class Programs {
  /** By what they were traced for, the one that was not used for the longest time first. */
  readonly #kept = new Map<string, Traced>()

  constructor(private readonly device: Device) {}

  /** The program of `key`, made where there is none, or none that could be compiled. */
  find(key: string, make: () => Traced): Traced {
    const kept = this.#kept.get(key)
    const known = kept?.isRefused ? undefined : kept
    if (known && this.#kept.size === 1) return known
    const program = known ?? make()
    this.#kept.delete(key)
    this.#kept.set(key, program)
    if (!known) this.#trim(program)
    return program
  }

  #trim(newest: Traced): void {
    let bytes = 0
    for (const program of this.#kept.values()) bytes += program.bytes
    for (const [key, program] of this.#kept) {
      if (this.#kept.size <= COUNT && bytes <= this.device.memoryBytes * SHARE) return
      if (program === newest || program.users > 0) continue
      bytes -= program.bytes
      program.dispose()
      this.#kept.delete(key)
    }
  }

  /** Those that were compiled, described. */
  explain(): string[] {
    return [...this.#kept.values()].flatMap((program) => program.explain() ?? [])
  }

  dispose(): void {
    for (const program of this.#kept.values()) program.dispose()
    this.#kept.clear()
  }
}
