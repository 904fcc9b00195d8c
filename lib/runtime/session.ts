/**
 * Graph and session, as TensorFlow 1 has them: the graph is written first, with placeholders where values are missing;
 * a session runs any part of it with values fed to the placeholders.
 *
 *     const a = placeholder([]), b = placeholder([])
 *     const c = div(mul(a, b), add(a, b))
 *     using session = new Session()
 *     const result = await session.run(c, { feed: new Map([[a, 15], [b, 5]]) })
 *
 * A run is one native program, compiled at the first run of these fetches with this size of the unknown dimension.
 */
import { tensor } from '../create.js'
import { checkDType, type DType, type TypedArray } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { type Assignment, Graph, type InputSource, type Node, topological, type Value } from '../graph/graph.js'
import { dependsOnUnknown, UNKNOWN_SIZE } from '../graph/unknown_size.js'
import { makeLeaf } from '../ops/creation.js'
import { checkOptions } from '../options.js'
import { checkShape, formatShape, sizeOfShape } from '../shape.js'
import { type NestedArray, Tensor } from '../tensor.js'
import { livingVariables, Variable } from '../variable.js'
import { captureResident, KEPT, recording, runInOrder, Traced } from './compile.js'
import { type Device, resolveDevice } from './device.js'
import { missingFeed } from './evaluate.js'
import { ProgramCache } from './program_cache.js'
import { specialize } from './specialize.js'
import type { VariableState } from './state.js'

export interface PlaceholderOptions {
  /** For messages. */
  name?: string
  /** Default float32. */
  dtype?: DType
}

let unnamed = 0

/**
 * A tensor without a value, which every run of a session is given. One dimension may be null: known at each run only,
 * and then the same for all placeholders of that run (the batch).
 *
 * @throws ERR_SHAPE for more than one null
 */
export function placeholder(shape: readonly (number | null)[], options: PlaceholderOptions = {}): Tensor {
  checkOptions('placeholder', options, ['name', 'dtype'])
  const { name = `placeholder ${unnamed++}`, dtype = 'float32' } = options
  const known = Array.isArray(shape) ? shape.map((dim) => dim ?? UNKNOWN_SIZE) : shape
  checkShape(known, 'placeholder')
  checkDType(dtype, 'placeholder')
  if (known.filter((dim) => dim === UNKNOWN_SIZE).length > 1) {
    throw new ForjaError('ERR_SHAPE', `placeholder '${name}': one dimension may be null, got ${formatShape(known)}`)
  }
  const text = `placeholder '${name}' ${formatShape(known)} ${dtype}`
  return new Tensor(makeLeaf({ kind: 'input', name, placeholder: text }, { shape: known, dtype }), name)
}

/** What a session can run for its effect: variables take values. Fetched, it gives undefined. */
export class Operation {
  /** @internal Users get operations from assign, globalVariablesInitializer and an optimizer's minimize. */
  constructor(
    readonly name: string,
    readonly assignments: readonly Assignment[],
  ) {}
}

/** The operation that gives `variable` a value of its shape and dtype. */
export function assign(variable: Variable, value: Tensor): Operation {
  if (!(variable instanceof Variable)) {
    throw new ForjaError('ERR_ARGUMENT', `assign: variable must be a variable, got ${describeGiven(variable)}`)
  }
  return new Operation(`assign ${variable.name}`, [variable.assignment(value)])
}

/**
 * The operation that gives every variable which exists now the value that it was made with, optimizers' state included.
 * Variables have that value from the start, so a program needs this only to begin anew.
 */
export function globalVariablesInitializer(): Operation {
  const assignments = livingVariables().map(({ state }) => ({ variable: state, value: state.origin }))
  return new Operation('globalVariablesInitializer', assignments)
}

/** Whether a session must feed something to know `value`. */
export function dependsOnPlaceholder(value: Value): boolean {
  return topological([value]).some(({ source }) => source?.kind === 'input' && source.placeholder !== undefined)
}

/** What `run` takes: tensors and operations, in arrays and objects. */
export type Fetches = Tensor | Operation | readonly Fetches[] | { readonly [name: string]: Fetches }

/** What `run` gives for it: values in place of tensors, undefined in place of operations. */
export type Fetched<F> = F extends Tensor
  ? Tensor
  : F extends Operation
    ? undefined
    : { -readonly [K in keyof F]: Fetched<F[K]> }

export type FeedValue = Tensor | NestedArray | TypedArray

export interface SessionOptions {
  /** Default 'auto'. */
  device?: string
  /** Kernel variants by operation, as compile's. */
  algorithms?: Readonly<Record<string, string>>
}

export interface RunOptions {
  /** Values of placeholders: tensors of their dtype, or numbers and arrays, which are converted to it. */
  feed?: ReadonlyMap<Tensor, FeedValue>
  signal?: AbortSignal
}

const CLOSED = 'session.run: the session was closed'

export class Session {
  readonly #device: Device
  readonly #options: SessionOptions
  readonly #programs = new ProgramCache<Traced>(KEPT)
  #closed = false

  constructor(options: SessionOptions = {}) {
    checkOptions('Session', options, ['device', 'algorithms'])
    this.#device = resolveDevice(options.device)
    this.#options = options
  }

  /**
   * Values of `fetches`, all from one program: what is assigned takes effect together when the call succeeds, and
   * values fetched beside it are those before. Random operations draw anew at every run. Running statistics of batch
   * normalisation are moved by compiled functions only, not by a session.
   *
   * @throws ERR_FEED_MISSING naming a placeholder that needs a value, or a shape of unknown size where nothing tells it;
   *   ERR_SHAPE, ERR_DTYPE for a value that does not fit; ERR_ARGUMENT for anything else than tensors and operations;
   *   ERR_DISPOSED after close()
   */
  run<const F extends Fetches>(fetches: F, options: RunOptions = {}): Promise<Fetched<F>> {
    return this.#run(fetches, options) as Promise<never>
  }

  async #run(fetches: Fetches, options: RunOptions): Promise<unknown> {
    const { feed = new Map<Tensor, FeedValue>(), signal } = checkOptions('session.run', options, ['feed', 'signal'])
    if (this.#closed) throw new ForjaError('ERR_DISPOSED', CLOSED)
    signal?.throwIfAborted()
    const { tensors, assignments } = collect(fetches)
    const values = tensors.map((t) => t.value)
    const roots = [...values, ...assignments.map((a) => a.value)]
    const nodes = topological(roots, (value) => value.resident === undefined)
    const leaves = nodes.map((node) => node.outputs[0]!).filter(({ node }) => node.source?.kind === 'input')
    const { fed, size } = feedsOf(nodes, leaves, feed)
    const key = `${roots.map(({ node, index }) => `${node.id}.${index}`)};${assignments.map((a) => a.variable.id)};${size}`
    let program = this.#programs.get(key)
    if (!program || program.isRefused) {
      program = this.#compile(values, assignments, leaves, size)
      this.#programs.set(key, program)
    }
    const outputs = (await runInOrder(program, fed, signal)) as Tensor[]
    let next = 0
    return mapFetches(fetches, () => outputs[next++]!)
  }

  #compile(
    values: readonly Value[],
    written: readonly Assignment[],
    leaves: readonly Value[],
    size: number | null,
  ): Traced {
    // Initial values are those that the variables had, not drawn anew.
    const isInitial = ({ variable, value }: Assignment) => value === (variable as VariableState).origin
    const rest = written.filter((assignment) => !isInitial(assignment))
    const { value: special, assignments } = recording(this.#device, () => specialize(new Graph(values, rest), size))
    const all = [...written.filter(isInitial), ...special.assignments, ...assignments]
    const graph = captureResident(new Graph(special.outputs, all))
    const inputs = leaves.map(({ node }) => node.source as InputSource)
    const result = special.outputs.map((output) => new Tensor(output))
    return new Traced({ graph, inputs, result }, this.#device, this.#options, CLOSED)
  }

  /** Releases the programs; variables stay. Safe to call twice. */
  close(): void {
    this.#closed = true
    this.#programs.clear()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** The same structure with every tensor replaced, and every operation by undefined. */
function mapFetches(fetches: Fetches, replace: (tensor: Tensor) => unknown): unknown {
  if (fetches instanceof Tensor) return replace(fetches)
  if (fetches instanceof Operation) return undefined
  if (Array.isArray(fetches)) return fetches.map((item) => mapFetches(item, replace))
  if (typeof fetches === 'object' && fetches !== null) {
    return Object.fromEntries(Object.entries(fetches).map(([name, item]) => [name, mapFetches(item, replace)]))
  }
  throw new ForjaError(
    'ERR_ARGUMENT',
    `session.run: a fetch is ${describeGiven(fetches)}; expected a tensor or an operation`,
  )
}

/** Every tensor of `fetches`, and the assignments of its operations. */
function collect(fetches: Fetches): { tensors: Tensor[]; assignments: Assignment[] } {
  const tensors: Tensor[] = []
  const assigned = new Map<number, Assignment>()
  const visit = (item: Fetches): void => {
    if (item instanceof Operation) {
      for (const assignment of item.assignments) {
        const before = assigned.get(assignment.variable.id)
        if (before && before.value !== assignment.value) {
          const text = `session.run: two of the operations assign the variable '${assignment.variable.name}'`
          throw new ForjaError('ERR_ARGUMENT', text, { hint: 'run them one after the other' })
        }
        assigned.set(assignment.variable.id, assignment)
      }
    } else if (!(item instanceof Tensor) && typeof item === 'object' && item !== null) {
      for (const part of Object.values(item)) visit(part as Fetches)
    }
  }
  mapFetches(fetches, (t) => tensors.push(t))
  visit(fetches)
  return { tensors, assignments: [...assigned.values()] }
}

/** The value of each leaf of `nodes`, and the size that null stands for in this run; null where none has such a dimension. */
function feedsOf(nodes: readonly Node[], leaves: readonly Value[], feed: ReadonlyMap<Tensor, FeedValue>) {
  if (!(feed instanceof Map)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `session.run: feed must be a Map from placeholders to values, got ${typeof feed}`,
    )
  }
  const given = new Map<Value, FeedValue>()
  for (const [key, value] of feed) {
    const source = key instanceof Tensor ? key.value.node.source : undefined
    if (source?.kind !== 'input' || source.placeholder === undefined) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `session.run: the feed has a key that is no placeholder: ${describeGiven(key)}`,
      )
    }
    given.set(key.value, value)
  }
  let size: number | null = null
  let sized = ''
  const take = (leaf: Value): Tensor => {
    const source = leaf.node.source as InputSource
    if (!given.has(leaf)) missingFeed(source)
    const value = toTensor(source.placeholder!, leaf, given.get(leaf)!)
    const axis = leaf.shape.indexOf(UNKNOWN_SIZE)
    if (axis < 0) return value
    if (size !== null && size !== value.shape[axis]) {
      throw new ForjaError(
        'ERR_SHAPE',
        `session.run: ${source.placeholder} is fed ${value.shape[axis]} where null stands, ${sized} ${size}`,
        { hint: 'the unknown size is one number a run' },
      )
    }
    size = value.shape[axis]!
    sized = source.placeholder!
    return value
  }
  const fed = leaves.map(take)
  // What depends on no placeholder may have the size of one, as do the zeros that are a gradient.
  const open = size === null && nodes.flatMap((node) => node.outputs).find(({ shape }) => shape.some(dependsOnUnknown))
  if (open) {
    for (const leaf of given.keys()) take(leaf)
    if (size === null) {
      const text = `session.run: a value has shape ${formatShape(open.shape)}, and no placeholder is fed that has null`
      throw new ForjaError('ERR_FEED_MISSING', text)
    }
  }
  return { fed, size: size as number | null }
}

/** `value` as a tensor of the placeholder's dtype and shape. */
function toTensor(what: string, { shape, dtype }: Value, value: FeedValue): Tensor {
  if (value instanceof Tensor && value.dtype !== dtype) {
    throw new ForjaError('ERR_DTYPE', `session.run: ${what} is fed ${value.dtype} values; expected ${dtype}`, {
      hint: `use cast(x, '${dtype}')`,
    })
  }
  const fed = value instanceof Tensor ? value : tensor(value, { dtype, ...shapeOfArray(shape, value) })
  const fits = fed.rank === shape.length && shape.every((dim, i) => dim === UNKNOWN_SIZE || dim === fed.shape[i])
  if (!fits) throw new ForjaError('ERR_SHAPE', `session.run: ${what} is fed a value of shape ${formatShape(fed.shape)}`)
  return fed
}

/** A typed array has no shape of its own: it takes the placeholder's where its length allows it. */
function shapeOfArray(shape: readonly number[], value: NestedArray | TypedArray): { shape?: number[] } {
  if (!ArrayBuffer.isView(value)) return {}
  const rest = sizeOfShape(shape.filter((dim) => dim !== UNKNOWN_SIZE))
  const resolved = shape.map((dim) => (dim === UNKNOWN_SIZE ? value.length / rest : dim))
  return resolved.every(Number.isInteger) && sizeOfShape(resolved) === value.length ? { shape: resolved } : {}
}
