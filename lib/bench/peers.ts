/**
 * What forja is compared with: programs of their own (bench/peers), one process each, that are told a case and time it
 * when it is their turn. One JSON command a line on stdin, one JSON answer a line on stdout:
 *
 *     {"do": "hello", "threads", "device"}  → {"version"}, or {"absent": why}
 *     {"do": "prepare", "case", "files",
 *      "result"}                            → {} and the case's result in the file `result`, or {"unsupported": why},
 *                                             or {"failed": why} of what should have worked; the peer goes on
 *     {"do": "time", "seconds"}             → {"samples": seconds of each call} of the case prepared last, or {"failed"}
 *
 * Files are raw little-endian float32 or int32; `files` has {path, shape, dtype} by name. A peer that does not answer in time,
 * or answers no JSON, is ended.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'

const FOLDER = fileURLToPath(new URL('../../bench/peers/', import.meta.url))

export interface PeerArray {
  readonly shape: readonly number[]
  readonly dtype: 'float32' | 'int32'
  readonly data: TypedArray
}

/** What a peer is asked to do: a kind it knows, with its attributes and arrays. */
export interface Task {
  readonly case: { readonly kind: string; readonly [attribute: string]: unknown }
  readonly arrays: Readonly<Record<string, PeerArray>>
}

export interface PeerSpec {
  readonly name: string
  readonly script: string
  /** Programs that may run the script, tried in order. */
  readonly programs: readonly string[]
  readonly suites: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Seconds until an answer is due, beyond those that the peer is to take. Default 600: compilers take minutes. */
  readonly patience?: number
}

const PATIENCE = 600

/** FORJA_PYTHON if set, else python3 on the path, else the system's own. */
export function pythons(): readonly string[] {
  const given = process.env.FORJA_PYTHON
  return given ? [given] : ['python3', '/usr/bin/python3']
}

/** @param kind of the device that is timed: on GPUs PyTorch alone takes part, in each way it can run a network */
export function peerSpecs(suite: string, kind: 'cpu' | 'cuda' = 'cpu'): PeerSpec[] {
  const python = (name: string, script: string, suites: string[], env?: Record<string, string>): PeerSpec => ({
    name,
    script: join(FOLDER, script),
    programs: pythons(),
    suites,
    env,
  })
  const node = (name: string, script: string): PeerSpec => ({
    name,
    script: join(FOLDER, script),
    programs: [process.execPath],
    suites: ['matmul', 'conv', 'infer'],
  })
  if (kind === 'cuda') {
    const mode = (name: string, env?: Record<string, string>) =>
      python(name, 'pytorch.py', env ? ['train', 'infer'] : ['matmul', 'conv', 'ops', 'train', 'infer'], env)
    return [
      mode('pytorch'),
      mode('pytorch-graph', { FORJA_PEER_MODE: 'graph' }),
      mode('pytorch-compile', { FORJA_PEER_MODE: 'compile' }),
    ].filter((spec) => spec.suites.includes(suite))
  }
  return [
    python('pytorch', 'pytorch.py', ['matmul', 'conv', 'ops', 'train', 'infer']),
    // OpenBLAS chooses kernels by the processor's name and falls back to AVX2 where it does not know it.
    python('openblas', 'openblas.py', ['matmul']),
    python('openblas-skylakex', 'openblas.py', ['matmul'], { OPENBLAS_CORETYPE: 'SkylakeX' }),
    node('onnxruntime', 'onnxruntime.mjs'),
    node('tfjs-wasm', 'tfjs.mjs'),
  ].filter((spec) => spec.suites.includes(suite))
}

/** Of what an interpreter prints at its end: the line that names the error, else the last. */
function reasonIn(complaint: string): string | undefined {
  const lines = complaint.trim().split('\n')
  return (lines.findLast((line) => /^\w*(Error|Exception)\b/.test(line)) ?? lines.at(-1))?.trim()
}

/** A peer that is not here, and why. */
export interface AbsentPeer {
  readonly name: string
  readonly absent: string
}

/** What is asked of a peer; `seconds` is how long it is to take. */
interface Command {
  readonly do: string
  readonly seconds?: number
  readonly [argument: string]: unknown
}

/** A peer's process. */
class Connection {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #answers: AsyncIterator<string>
  /** How the process ended, once it has. */
  readonly #ended: Promise<string>
  readonly #patience: number
  /** Why it was ended. */
  #failed: string | undefined

  constructor(program: string, { script, env, patience = PATIENCE }: PeerSpec, threads: number) {
    // A core type forced from outside would run a peer's BLAS below its best.
    const { OPENBLAS_CORETYPE: _, ...environment } = process.env
    const count = String(threads)
    const child = spawn(program, [script], {
      env: { ...environment, OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, ...env },
    })
    let complaint = ''
    child.stderr.on('data', (chunk) => {
      complaint = (complaint + chunk).slice(-4000)
    })
    this.#ended = new Promise<string>((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('close', (code, signal) =>
        resolve(reasonIn(complaint) || (signal ? `ended by ${signal}` : `exit code ${code}`)),
      )
    })
    this.#answers = createInterface(child.stdout)[Symbol.asyncIterator]()
    child.stdin.on('error', () => {})
    this.#child = child
    this.#patience = patience
  }

  /** The answer to a command; { failed } where there is none. */
  async ask(command: Command): Promise<Record<string, unknown>> {
    if (this.#failed !== undefined) return { failed: this.#failed }
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
    const seconds = this.#patience + (command.seconds ?? 0)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, seconds * 1000, 'late')
    })
    const line = await Promise.race([this.#answers.next(), late])
    clearTimeout(timer)
    if (line === 'late') return this.#end(`no answer to '${command.do}' within ${seconds} s`)
    if (line.done) return { failed: await this.#ended }
    try {
      return JSON.parse(line.value) as Record<string, unknown>
    } catch {
      return this.#end(`answered '${command.do}' by '${line.value.slice(0, 200)}', which is no JSON`)
    }
  }

  /** Also where processes of its own still hold its streams. */
  #end(failed: string): { failed: string } {
    this.#failed = failed
    this.#child.kill('SIGKILL')
    for (const stream of this.#child.stdio) stream?.destroy()
    return { failed }
  }

  close(): void {
    this.#child.stdin.end()
  }
}

export class Peer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'forja-bench-'))

  private constructor(
    readonly name: string,
    readonly version: string,
    private readonly connection: Connection,
  ) {}

  static async start(spec: PeerSpec, threads: number, device = 'cpu'): Promise<Peer | AbsentPeer> {
    if (!existsSync(spec.script)) return { name: spec.name, absent: `there is no ${spec.script}` }
    const complaints: string[] = []
    for (const program of spec.programs) {
      const connection = new Connection(program, spec, threads)
      const { version, absent, failed } = await connection.ask({ do: 'hello', threads, device })
      const complaint = absent ?? failed
      if (complaint === undefined) return new Peer(spec.name, String(version), connection)
      connection.close()
      complaints.push(spec.programs.length > 1 ? `${program}: ${complaint}` : String(complaint))
    }
    return { name: spec.name, absent: complaints.join('; ') }
  }

  async #ask(command: Command): Promise<Record<string, unknown>> {
    const answer = await this.connection.ask(command)
    if (answer.failed !== undefined)
      throw new ForjaError('ERR_INTERNAL', `the peer ${this.name} failed: ${answer.failed}`)
    return answer
  }

  /**
   * Hands over a case; its whole result, or why the peer cannot do it.
   *
   * @throws ERR_INTERNAL where the peer failed, with its words.
   */
  async prepare(task: Task): Promise<Float32Array | string> {
    const path = (name: string) => join(this.#folder, `${name}.bin`)
    const files = Object.fromEntries(
      Object.entries(task.arrays).map(([name, { shape, dtype, data }]) => {
        writeFileSync(path(name), new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
        return [name, { path: path(name), shape, dtype }]
      }),
    )
    const result = path('.result')
    try {
      const { unsupported } = await this.#ask({ do: 'prepare', case: task.case, files, result })
      if (unsupported !== undefined) return String(unsupported)
      const bytes = readFileSync(result)
      return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
    } finally {
      for (const { path } of [...Object.values(files), { path: result }]) rmSync(path, { force: true })
    }
  }

  /**
   * Seconds of each call within about `seconds`.
   *
   * @throws as prepare.
   */
  async turn(seconds: number): Promise<number[]> {
    return (await this.#ask({ do: 'time', seconds })).samples as number[]
  }

  stop(): void {
    this.connection.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
