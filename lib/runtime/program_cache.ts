/** Programs kept for the next call of the same kind, within limits: the least recently used goes first. */

/** One that is let go while calls need it is disposed of after the last of them. */
export abstract class KeptProgram {
  #users = 0
  #retired = false

  /** Memory that it holds, 0 until that is known. */
  abstract readonly bytes: number

  abstract dispose(): void

  /** For a call that needs it until it calls `leave`. */
  enter(): void {
    this.#users++
  }

  leave(): void {
    this.#users--
    if (this.#retired) this.retire()
  }

  retire(): void {
    this.#retired = true
    if (this.#users === 0) this.dispose()
  }
}

export interface CacheLimits {
  readonly programs: number
  readonly bytes: number
  /** So many are kept whatever memory they hold. */
  readonly always: number
}

export class ProgramCache<P extends KeptProgram> {
  readonly #programs = new Map<string, P>()

  constructor(private readonly limits: CacheLimits) {}

  /** In the order of their last use. */
  get programs(): P[] {
    return [...this.#programs.values()]
  }

  /** That of `key`, the most recently used from now on. */
  get(key: string): P | undefined {
    const program = this.#programs.get(key)
    if (program) {
      this.#programs.delete(key)
      this.#programs.set(key, program)
    }
    return program
  }

  /** In place of the one that `key` had. */
  set(key: string, program: P): void {
    this.retire(this.#programs.get(key))
    this.#programs.set(key, program)
    this.trim()
  }

  /** Lets `program` go, where it is here. */
  retire(program: P | undefined): void {
    for (const [key, kept] of this.#programs) if (kept === program) this.#drop(key, kept)
  }

  /** Lets those go that are too many, or hold too much; to be called where a program has come to know its memory. */
  trim(): void {
    const { programs, bytes, always } = this.limits
    let held = 0
    for (const program of this.#programs.values()) held += program.bytes
    for (const [key, program] of this.#programs) {
      const count = this.#programs.size
      if (count <= programs && (held <= bytes || count <= always)) return
      held -= program.bytes
      this.#drop(key, program)
    }
  }

  /** Disposes of all, also of those that calls need. */
  clear(): void {
    for (const program of this.#programs.values()) program.dispose()
    this.#programs.clear()
  }

  #drop(key: string, program: P): void {
    this.#programs.delete(key)
    program.retire()
  }
}
