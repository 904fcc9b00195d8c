/**
 * `compile`: a TypeScript function traced once per shape and dtype of its arguments, then run as one native program.
 */
import type { TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { type Assignment, Graph, type HostScalarSource, type InputSource, rewrite, type Value } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import { checkChoice, checkOptions } from '../options.js'
import type { Precision } from '../passes/lower.js'
import { Tensor } from '../tensor.js'
import { type Device, type Executable, type ProfileRow, resolveDevice } from './device.js'
import { evaluation, missingFeed, residentData, scalar } from './evaluate.js'
import { type CacheLimits, KeptProgram, ProgramCache } from './program_cache.js'
import { advanceRandomState } from './random_state.js'
import type { VariableState } from './state.js'
import { inTurn, mayStart, type Started } from './turn.js'

export interface CompileFunctionOptions {
  /** Default 'auto'. */
  device?: string
  /**
   * Kernel variants by operation: { conv2d: 'im2col', matmul: 'naive' }. `conv2d` counts for its gradients too; its
   * variants 'winograd' and 'winograd2x2' take effect for 3 × 3 filters with stride 1, 'winograd' also with stride 2, and
   * 'implicit' avoids their rounding. Of CUDA, 'cublas' and 'cudnn' are NVIDIA's libraries, an error where they are missing.
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
  /** The graph, what was fused, the memory plan and the kernel of each step, for every signature that is kept. */
  explain(): string
  /** Runs once with these arguments and times every step of the program; the outputs stay where they are. */
  profile(...args: A): Promise<ProfileRow[]>
  dispose(): void
}

interface Trace {
  readonly device: Device
  readonly assignments: Map<VariableState, Value>
  /** Random operations so far: each draws from a stream of its own. */
  randomStreams: number
}

/** A network for each of many lengths of a text; one for each of many sizes of an image only while memory allows it. */
export const KEPT: CacheLimits = { programs: 256, bytes: 2 ** 30, always: 8 }

let currentTrace: Trace | null = null

/** The trace of the function being compiled, if one is. */
export function activeTrace(): Trace | null {
  return currentTrace
}

/**
 * Compiles `fn`, which must be synchronous, for a device: once for the shapes and dtypes of a call's arguments. The last 256
 * such programs are kept, the last 8 where together they hold more than 1 GB.
 */
export function compile<A extends readonly Tensor[], R extends Result>(
  fn: (...args: A) => R,
  options: CompileFunctionOptions = {},
): CompiledFunction<A, R> {
  if (typeof fn !== 'function')
    throw new ForjaError('ERR_ARGUMENT', `compile: a function was expected, got ${describeGiven(fn)}`)
  checkOptions('compile', options, ['device', 'algorithms', 'precision'])
  const device = resolveDevice(options.device)
  checkPrecision('compile', options.precision ?? 'float32', device)
  const traces = new ProgramCache<Traced>(KEPT)
  let disposed = false

  const tracedFor = (tensors: readonly Tensor[]): Traced => {
    if (disposed) throw new ForjaError('ERR_DISPOSED', 'the compiled function was disposed')
    if (tensors.length < fn.length) {
      throw new ForjaError('ERR_ARGUMENT', `the compiled function takes ${fn.length} tensors, got ${tensors.length}`)
    }
    const key = tensors.map((t) => `${t.dtype}[${t.shape}]`).join(';')
    const known = traces.get(key)
    if (known && !known.isRefused) return known
    const traced = new Traced(trace(fn as unknown as (...args: Tensor[]) => Result, tensors, device), device, options)
    traces.set(key, traced)
    return traced
  }
  const call = async (...args: unknown[]): Promise<R> => {
    const { tensors, signal } = splitArguments(args)
    signal?.throwIfAborted()
    return runInOrder(tracedFor(tensors), tensors, signal) as R | Promise<R>
  }
  return Object.assign(call, {
    profile: async (...args: unknown[]) => {
      const { tensors } = splitArguments(args)
      const traced = tracedFor(tensors)
      return await startInOrder(traced, tensors, async (data) => ({ result: await traced.profile(data) }))
    },
    explain: () => {
      const texts = traces.programs.flatMap((traced) => traced.explain() ?? [])
      return texts.join('\n\n') || 'not traced yet: call the function once'
    },
    dispose: () => {
      disposed = true
      traces.clear()
    },
  }) as unknown as CompiledFunction<A, R>
}

/** ERR_ARGUMENT unless the device has it; `what` asked for it. */
export function checkPrecision(what: string, precision: Precision, device: Device): void {
  checkChoice(what, 'precision', precision, ['float32', 'tf32', 'bfloat16'])
  if (precision !== 'float32' && device.kind !== 'cuda') {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${what}: precision '${precision}' needs tensor cores, and device '${device.id}' has none; it computes in 'float32'`,
    )
  }
}

/**
 * Runs a program with its arguments and the numbers (a learning rate) of this moment, in the order of turn.ts. Nothing is
 * waited for that is there.
 */
export function runInOrder(program: Traced, args: readonly Tensor[], signal?: AbortSignal): unknown {
  if (program.isBound() && mayStart(program.variables)) {
    const data = residentData(args.map((t) => t.value))
    if (data) return program.run(data, signal)
  }
  const scalars = program.readScalars()
  return startInOrder(program, args, (data) => ({ result: program.run(data, signal, scalars) }))
}

/** Calls `start` with the elements of the arguments when the call's turn has come and the program is fit to run. */
function startInOrder<T>(
  program: Traced,
  args: readonly Tensor[],
  start: (data: readonly TypedArray[]) => Started<T> | Promise<Started<T>>,
): Promise<T> {
  const values = evaluation(
    args.map((t) => t.value),
    program.device,
  )
  program.enter()
  return inTurn([...program.variables, ...values.variables], async () => {
    try {
      const data = await (await values.start()).result
      await program.prepare()
      return await start(data)
    } finally {
      program.leave()
    }
  })
}

function isCallOptions(value: unknown): value is CallOptions {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return false
  const { signal, ...rest } = value as CallOptions
  return (signal === undefined || signal instanceof AbortSignal) && Object.keys(rest).length === 0
}

function splitArguments(args: readonly unknown[]): { tensors: Tensor[]; signal: AbortSignal | undefined } {
  const last = args[args.length - 1]
  const options = isCallOptions(last) ? last : undefined
  const tensors = options ? args.slice(0, -1) : args
  tensors.forEach((t, i) => {
    if (!(t instanceof Tensor)) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `argument ${i} of a compiled function must be a tensor, got ${describeGiven(t)}`,
      )
    }
  })
  return { tensors: tensors as Tensor[], signal: options?.signal }
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
      result.catch(() => {}) // that it is refused is told below
      throw new ForjaError('ERR_ARGUMENT', 'compile: the function returned a promise; it must be synchronous', {
        hint: 'read results outside: the compiled function returns them',
      })
    }
    return result
  })
  return { graph: captureResident(new Graph(tensorsOf(result), assignments)), inputs, result }
}

/** The values of all tensors in `result`, in the order in which a run's outputs replace them. */
function tensorsOf(result: Result): Value[] {
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
  // Neither a Map nor a Set, whose tensors would be left out.
  if (typeof result === 'object' && !(Symbol.iterator in result)) {
    return Object.fromEntries(Object.entries(result).map(([key, item]) => [key, mapResult(item, replace)]))
  }
  throw new ForjaError(
    'ERR_ARGUMENT',
    `compile: the function returned ${typeof result === 'object' ? describeGiven(result) : typeof result}; tensors in objects and arrays were expected`,
  )
}

/** A graph and its executable, made when it is first needed and anew where a variable was moved meanwhile. */
export class Traced extends KeptProgram {
  /** That it reads or writes. */
  readonly variables: readonly VariableState[]
  readonly #scalars: readonly HostScalarSource[]
  #executable: Executable | null = null
  #compiling: Promise<void> | null = null
  #refused = false
  #disposed = false

  constructor(
    private readonly traced: TraceResult,
    readonly device: Device,
    private readonly options: CompileFunctionOptions,
    private readonly whenDisposed = 'the compiled function was disposed',
  ) {
    super()
    const { graph } = traced
    const sources = graph.nodes().map(({ source }) => source)
    this.#scalars = sources.filter((source) => source?.kind === 'hostScalar')
    const read = sources.filter((source) => source?.kind === 'variable')
    const written = graph.assignments.map(({ variable }) => variable)
    this.variables = [...new Set([...read, ...written])] as VariableState[]
  }

  /** Whether it could not be compiled: to be traced anew, since what was wrong may have been mended. */
  get isRefused(): boolean {
    return this.#refused
  }

  async #compile(): Promise<void> {
    this.#executable?.dispose()
    this.#executable = null
    const executable = await this.device.compile(this.traced.graph, this.options).catch((error) => {
      this.#refused = true
      throw error
    })
    if (this.#disposed) {
      executable.dispose()
      this.#check()
    }
    this.#executable = executable
  }

  #check(): void {
    if (this.#disposed) throw new ForjaError('ERR_DISPOSED', this.whenDisposed)
  }

  /** False where only `prepare` makes it fit to run. */
  isBound(): boolean {
    return this.#executable?.isBound() ?? false
  }

  /** Makes it fit to run. To be called by a call whose turn it is; those without variables have theirs at the same time. */
  async prepare(): Promise<void> {
    this.#check()
    while (!this.isBound()) {
      this.#compiling ??= this.#compile().finally(() => {
        this.#compiling = null
      })
      await this.#compiling
    }
  }

  /** The numbers that a call takes from JavaScript besides its arguments, as they are now. */
  readScalars(): ReadonlyMap<HostScalarSource, number> {
    return new Map(this.#scalars.map((source) => [source, source.read()]))
  }

  /** One array per input of the executable. */
  #feed(data: readonly TypedArray[], scalars?: ReadonlyMap<HostScalarSource, number>): TypedArray[] {
    return this.#executable!.inputs.map(({ source }) => {
      if (source.kind === 'hostScalar') return scalar(scalars?.get(source) ?? source.read())
      return data[this.traced.inputs.indexOf(source)] ?? missingFeed(source)
    })
  }

  async profile(data: readonly TypedArray[]): Promise<ProfileRow[]> {
    return await this.#executable!.profile(this.#feed(data))
  }

  /**
   * The answer of a run that is queued when this returns, or that was so short that it is over. To be called where
   * `isBound()`, with numbers from JavaScript as they are now unless `scalars` has them.
   */
  run(data: readonly TypedArray[], signal?: AbortSignal, scalars?: ReadonlyMap<HostScalarSource, number>): unknown {
    const outputs = this.#executable!.run(this.#feed(data, scalars), signal)
    return outputs instanceof Promise ? outputs.then((arrays) => this.#answer(arrays)) : this.#answer(outputs)
  }

  #answer(outputs: readonly TypedArray[]): unknown {
    let next = 0
    return mapResult(this.traced.result, (tensor) => {
      const elements = outputs[next++]!
      return new Tensor(makeLeaf({ kind: 'constant', data: elements }, { shape: tensor.shape, dtype: tensor.dtype }))
    })
  }

  get bytes(): number {
    return this.#executable?.bytes ?? 0
  }

  /** Undefined until it is compiled. */
  explain(): string | undefined {
    return this.#executable?.explain()
  }

  dispose(): void {
    this.#disposed = true
    this.#executable?.dispose()
  }
}
