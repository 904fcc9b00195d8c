/**
 * `compile`: a TypeScript function traced once per shape and dtype of its arguments, then run as one native program.
 */
import type { TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { type Assignment, Graph, type InputSource, rewrite, type Value } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import type { Precision } from '../passes/lower.js'
import { Tensor } from '../tensor.js'
import { type Device, type Executable, type ProfileRow, resolveDevice } from './device.js'
import { evaluate, missingFeed, scalar } from './evaluate.js'
import { advanceRandomState } from './random_state.js'
import type { VariableState } from './state.js'

export interface CompileFunctionOptions {
  /** Default 'auto'. */
  device?: string
  /**
   * Kernel variants by operation: { conv2d: 'im2col', matmul: 'naive' }. `conv2d` counts for its gradients too; its
   * variants 'winograd' and 'winograd2x2' take effect for 3 × 3 filters with stride 1, and 'implicit' avoids their rounding.
   */
  algorithms?: Readonly<Record<string, string>>
  /**
   * Of products of matrices and convolutions. 'float32' (the default) everywhere; on CUDA also 'tf32', their operands rounded
   * to 10 bits of fraction, and 'bfloat16', activations and gradients between them stored with 7: weights, statistics and
   * losses stay float32.
   */
  precision?: Precision
}

/** What a traced function may return: tensors in objects and arrays. */
export type Result = Tensor | undefined | null | { [key: string]: Result } | Result[]

/** A last argument of a compiled function. */
export interface CallOptions {
  signal?: AbortSignal
}

export interface CompiledFunction<A extends readonly Tensor[], R> {
  (...args: [...A, options?: CallOptions]): Promise<R>
  /** The graph, what was fused, the memory plan and the kernel of each step, for every traced signature. */
  explain(): string
  /** Runs once with these arguments and times every step of the program. */
  profile(...args: A): Promise<ProfileRow[]>
  dispose(): void
}

interface Trace {
  readonly device: Device
  readonly assignments: Map<VariableState, Value>
  /** Random operations so far: each draws from a stream of its own. */
  randomStreams: number
}

let currentTrace: Trace | null = null

/** The trace of the function being compiled, if one is. */
export function activeTrace(): Trace | null {
  return currentTrace
}

/** Compiles `fn`, which must be synchronous, for a device. */
export function compile<A extends readonly Tensor[], R extends Result>(
  fn: (...args: A) => R,
  options: CompileFunctionOptions = {},
): CompiledFunction<A, R> {
  if (typeof fn !== 'function')
    throw new ForjaError('ERR_ARGUMENT', `compile: a function was expected, got ${typeof fn}`)
  const device = resolveDevice(options.device)
  checkPrecision(options.precision ?? 'float32', device)
  const traces = new Map<string, Promise<Traced>>()
  const finished: Traced[] = []
  let disposed = false

  const tracedFor = (tensors: readonly Tensor[]): Promise<Traced> => {
    if (disposed) throw new ForjaError('ERR_DISPOSED', 'the compiled function was disposed')
    const key = tensors.map((t) => `${t.dtype}[${t.shape}]`).join(';')
    let pending = traces.get(key)
    if (!pending) {
      pending = Traced.create(trace(fn as unknown as (...args: Tensor[]) => Result, tensors, device), device, options)
      traces.set(key, pending)
      pending.then(
        (traced) => finished.push(traced),
        () => traces.delete(key),
      )
    }
    return pending
  }
  const call = async (...args: unknown[]): Promise<R> => {
    const { tensors, signal } = splitArguments(args)
    signal?.throwIfAborted()
    const ready = tracedFor(tensors)
    const { result } = await inOrder(device, async () => (await ready).start(tensors, signal))
    return (await result) as R
  }
  return Object.assign(call, {
    profile: async (...args: Tensor[]) => (await tracedFor(args)).profile(args),
    explain: () =>
      finished.length > 0 ? finished.map((t) => t.explain()).join('\n\n') : 'not traced yet: call the function once',
    dispose: () => {
      disposed = true
      for (const pending of traces.values())
        pending.then(
          (traced) => traced.dispose(),
          () => {},
        )
      traces.clear()
    },
  }) as unknown as CompiledFunction<A, R>
}

function checkPrecision(precision: Precision, device: Device): void {
  if (!['float32', 'tf32', 'bfloat16'].includes(precision)) {
    throw new ForjaError('ERR_ARGUMENT', `compile: precision '${precision}'; expected 'float32', 'tf32' or 'bfloat16'`)
  }
  if (precision !== 'float32' && device.kind !== 'cuda') {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `compile: precision '${precision}' needs tensor cores, and device '${device.id}' has none; it computes in 'float32'`,
    )
  }
}

const lastStart = new WeakMap<Device, Promise<unknown>>()

/**
 * Runs `start` after the starts of all earlier calls on this device: a call that must be traced and compiled first is
 * not overtaken by the next one, so that variables change in the order in which the calls were written.
 */
export function inOrder<T>(device: Device, start: () => Promise<T>): Promise<T> {
  const mine = (lastStart.get(device) ?? Promise.resolve()).then(start)
  lastStart.set(
    device,
    mine.catch(() => {}),
  )
  return mine
}

function splitArguments(args: readonly unknown[]): { tensors: Tensor[]; signal?: AbortSignal } {
  const last = args[args.length - 1]
  const hasOptions =
    last !== undefined && !(last instanceof Tensor) && (last as CallOptions).signal instanceof AbortSignal
  const tensors = hasOptions ? args.slice(0, -1) : args
  tensors.forEach((t, i) => {
    if (!(t instanceof Tensor)) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `argument ${i} of a compiled function must be a tensor, got ${t === null ? 'null' : typeof t}`,
      )
    }
  })
  const { signal } = hasOptions ? (last as CallOptions) : {}
  return signal ? { tensors: tensors as Tensor[], signal } : { tensors: tensors as Tensor[] }
}

/** A graph and how a run feeds it. */
export interface TraceResult {
  readonly graph: Graph
  readonly inputs: readonly InputSource[]
  /** The function's answer, its tensors in the order of the graph's outputs. */
  readonly result: Result
}

/** Runs `body` with assignments recorded in place of made, random operations drawing from the device's state. */
export function recording<T>(device: Device, body: () => T): { value: T; assignments: Assignment[] } {
  if (currentTrace)
    throw new ForjaError('ERR_ARGUMENT', 'compiled functions cannot be called while another one is being traced')
  const current: Trace = { device, assignments: new Map(), randomStreams: 0 }
  currentTrace = current
  try {
    const value = body()
    if (current.randomStreams > 0) advanceRandomState(current)
    return { value, assignments: [...current.assignments].map(([variable, value]) => ({ variable, value })) }
  } finally {
    currentTrace = null
  }
}

function trace(fn: (...args: Tensor[]) => Result, args: readonly Tensor[], device: Device): TraceResult {
  const inputs = args.map((_, i): InputSource => ({ kind: 'input', name: `argument ${i}` }))
  const placeholders = args.map((arg, i) => new Tensor(makeLeaf(inputs[i]!, { shape: arg.shape, dtype: arg.dtype })))
  const { value: result, assignments } = recording(device, () => {
    const result = fn(...placeholders)
    if (result instanceof Promise) {
      throw new ForjaError('ERR_ARGUMENT', 'compile: the function returned a promise; it must be synchronous', {
        hint: 'read results outside: the compiled function returns them',
      })
    }
    return result
  })
  return { graph: captureResident(new Graph(tensorsOf(result), assignments)), inputs, result }
}

/** The values of all tensors in `result`, in the order in which a run's outputs replace them. */
export function tensorsOf(result: Result): Value[] {
  const values: Value[] = []
  mapResult(result, (tensor) => values.push(tensor.value))
  return values
}

/** Tensors that were read before are constants of the program: it does not compute them again at every run. */
export function captureResident(graph: Graph): Graph {
  return rewrite(graph, (node) =>
    !node.source && node.outputs.length > 0 && node.outputs.every((output) => output.resident)
      ? node.outputs.map((output) => makeLeaf({ kind: 'constant', data: output.resident! }, output.type))
      : undefined,
  )
}

/** The same structure with every tensor replaced. */
function mapResult(result: Result, replace: (tensor: Tensor) => unknown): unknown {
  if (result === undefined || result === null) return result
  if (result instanceof Tensor) return replace(result)
  if (Array.isArray(result)) return result.map((item) => mapResult(item, replace))
  if (typeof result === 'object') {
    return Object.fromEntries(Object.entries(result).map(([key, item]) => [key, mapResult(item, replace)]))
  }
  throw new ForjaError(
    'ERR_ARGUMENT',
    `compile: the function returned ${typeof result}; tensors in objects and arrays were expected`,
  )
}

/** A graph and its executable, which is made anew where a variable was moved meanwhile. */
export class Traced {
  #disposed = false

  private constructor(
    private readonly traced: TraceResult,
    private readonly device: Device,
    private readonly options: CompileFunctionOptions,
    private executable: Executable,
  ) {}

  static async create(traced: TraceResult, device: Device, options: CompileFunctionOptions): Promise<Traced> {
    return new Traced(traced, device, options, await device.compile(traced.graph, options))
  }

  /** One array per input of the executable; compiles anew if a variable was moved. */
  async #feed(args: readonly Tensor[]): Promise<TypedArray[]> {
    const missing = args.map((t) => t.value)
    const data = missing.every((value) => value.resident)
      ? missing.map((value) => value.resident!)
      : await evaluate(missing, this.device)
    if (this.#disposed) throw new ForjaError('ERR_DISPOSED', 'the compiled function was disposed')
    if (!this.executable.isBound()) {
      this.executable.dispose()
      this.executable = await this.device.compile(this.traced.graph, this.options)
    }
    const feeds = new Map<unknown, TypedArray>(this.traced.inputs.map((source, i) => [source, data[i]!]))
    return this.executable.inputs.map(({ source }) => {
      if (source.kind === 'hostScalar') return scalar(source.read())
      return feeds.get(source) ?? missingFeed(source)
    })
  }

  async profile(args: readonly Tensor[]): Promise<ProfileRow[]> {
    const inputs = await this.#feed(args)
    return await this.executable.profile(inputs)
  }

  /** Queues a run; its result comes in a box, so that waiting for the start does not wait for the end. */
  async start(args: readonly Tensor[], signal?: AbortSignal): Promise<{ result: Promise<unknown> }> {
    const inputs = await this.#feed(args)
    return { result: this.#finish(this.executable.run(inputs, signal)) }
  }

  async #finish(running: Promise<TypedArray[]>): Promise<unknown> {
    const outputs = await running
    let next = 0
    return mapResult(this.traced.result, (tensor) => {
      const elements = outputs[next++]!
      return new Tensor(makeLeaf({ kind: 'constant', data: elements }, { shape: tensor.shape, dtype: tensor.dtype }))
    })
  }

  explain(): string {
    return this.executable.explain()
  }

  dispose(): void {
    this.#disposed = true
    this.executable.dispose()
  }
}
