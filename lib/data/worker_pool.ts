/**
 * Threads that answer messages `{ id, job }` with `{ id, result }`. They keep the process alive only while a job is
 * under way.
 */
import { Worker } from 'node:worker_threads'
import { ForjaError } from '../errors.js'

interface Pending<Result> {
  resolve(result: Result): void
  reject(reason: unknown): void
}

interface Member<Result> {
  worker: Worker
  pending: Map<number, Pending<Result>>
  /** Why it takes no more jobs. */
  ended?: ForjaError
}

export class WorkerPool<Job, Result> {
  readonly #members: Member<Result>[]
  #nextId = 0

  /** @param file a module of dist/, from the package's folder: worker threads run JavaScript, also under tests */
  constructor(file: string, count: number) {
    const url = new URL(`../../dist/${file}`, import.meta.url)
    this.#members = Array.from({ length: count }, () => start(url))
  }

  /** Runs a job on the thread that has least to do; the job is copied. */
  run(job: Job): Promise<Result> {
    const { worker, pending, ended } = this.#members.reduce((a, b) => (b.pending.size < a.pending.size ? b : a))
    if (ended) return Promise.reject(ended)
    const id = this.#nextId++
    return new Promise<Result>((resolve, reject) => {
      worker.ref()
      pending.set(id, { resolve, reject })
      worker.postMessage({ id, job })
    })
  }

  /** Ends the threads; jobs under way are rejected. */
  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()))
  }
}

function start<Result>(url: URL): Member<Result> {
  // Without the parent's --import and the like: the file needs none.
  const worker = new Worker(url, { execArgv: [] })
  const pending = new Map<number, Pending<Result>>()
  const member: Member<Result> = { worker, pending }
  const fail = (cause: Error): void => {
    member.ended ??= new ForjaError('ERR_INTERNAL', `a data worker ended: ${cause.message}`, { cause })
    for (const { reject } of pending.values()) reject(member.ended)
    pending.clear()
  }
  worker.unref()
  worker.on('message', ({ id, result }: { id: number; result: Result }) => {
    const job = pending.get(id)
    pending.delete(id)
    if (pending.size === 0) worker.unref()
    job?.resolve(result)
  })
  worker.on('error', fail)
  worker.on('exit', (code) => fail(new Error(`exit code ${code}`)))
  return member
}
