/** The PyTorch peer: a Python process that times its side of a case between ours. Absent where `python3` has no torch. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { TypedArray } from '../../lib/index.js'

const SCRIPT = fileURLToPath(new URL('./pytorch.py', import.meta.url))

export interface PeerArray {
  shape: readonly number[]
  dtype: 'float32' | 'int32'
  data: TypedArray
}

export class PyTorchPeer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'forja-bench-'))
  readonly #answers: AsyncIterator<string>

  private constructor(
    private readonly process: ChildProcessWithoutNullStreams,
    readonly version: { torch: string; config: string[] },
    answers: AsyncIterator<string>,
  ) {
    this.#answers = answers
  }

  /** The peer, or why there is none: FORJA_BENCH_PYTHON if set, else python3 on the path, else the system's own. */
  static async start(threads: number): Promise<PyTorchPeer | string> {
    const given = process.env.FORJA_BENCH_PYTHON
    const complaints: string[] = []
    for (const python of given ? [given] : ['python3', '/usr/bin/python3']) {
      const peer = await PyTorchPeer.#startWith(python, threads)
      if (typeof peer !== 'string') return peer
      complaints.push(`${python}: ${peer}`)
    }
    return complaints.join('; ')
  }

  static async #startWith(python: string, threads: number): Promise<PyTorchPeer | string> {
    // A core type forced from outside would run its BLAS below its best.
    const { OPENBLAS_CORETYPE: _, ...environment } = process.env
    const child = spawn(python, [SCRIPT], { env: environment })
    let complaint = ''
    child.stderr.on('data', (chunk) => {
      complaint += chunk
    })
    const failed = new Promise<string>((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('exit', (code) => resolve(complaint.trim().split('\n').pop() || `exit code ${code}`))
    })
    const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
    child.stdin.on('error', () => {})
    child.stdin.write(`${JSON.stringify({ do: 'hello', threads })}\n`)
    const first = await answers.next()
    if (first.done) return await failed
    return new PyTorchPeer(child, JSON.parse(first.value) as { torch: string; config: string[] }, answers)
  }

  async #ask(command: object): Promise<Record<string, unknown>> {
    this.process.stdin.write(`${JSON.stringify(command)}\n`)
    const line = await this.#answers.next()
    if (line.done) throw new Error(`the PyTorch peer ended while it was asked ${JSON.stringify(command).slice(0, 200)}`)
    return JSON.parse(line.value) as Record<string, unknown>
  }

  /** Hands over a case with its arrays; the numbers its result starts with. */
  async prepare(kase: object, arrays: Readonly<Record<string, PeerArray>>): Promise<number[]> {
    const files = Object.fromEntries(
      Object.entries(arrays).map(([name, { shape, dtype, data }]) => {
        const path = join(this.#folder, `${name}.bin`)
        writeFileSync(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
        return [name, { path, shape, dtype }]
      }),
    )
    return (await this.#ask({ do: 'prepare', case: kase, files })).result as number[]
  }

  /** Seconds of each call within about `seconds`. */
  async time(seconds: number): Promise<number[]> {
    return (await this.#ask({ do: 'time', seconds })).samples as number[]
  }

  stop(): void {
    this.process.stdin.end()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
