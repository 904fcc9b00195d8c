/**
 * Reading values outside `compile`: the graph they need is compiled, run, and the program kept for the next graph of
 * the same structure. Host constants become inputs of the program, so that structure does not depend on their numbers.
 * So do numbers as in `x.mul(0.1)`, but only where one has changed: those that stay are folded into the program.
 */
import { settle } from '../autodiff/detach.js'
import { allocate, type DType, isHalf, type TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import {
  attrKey,
  Graph,
  type HostScalarSource,
  type InputSource,
  Node,
  rebuild,
  rewrite,
  topological,
  type Value,
  type VariableSource,
} from '../graph/graph.js'
import { fullOp, makeLeaf } from '../ops/creation.js'
import { makeNode } from '../ops/registry.js'
import { broadcastToOp, transposeOp } from '../ops/shape.js'
import { foldNode } from '../passes/fold.js'
import { type Device, defaultDevice, type Executable } from './device.js'
import { type CacheLimits, KeptProgram, ProgramCache } from './program_cache.js'
import type { VariableState } from './state.js'
import { inTurn, type Started } from './turn.js'

/** Of a device. */
const KEPT: CacheLimits = { programs: 256, bytes: 128 * 2 ** 20, always: 1 }

class CachedProgram extends KeptProgram {
  bytes = 0

  /**
   * @param numbers the graph's, in their order; null: one that is an input of the program, since it has changed
   * @param variables whose buffers it is bound to
   */
  constructor(
    readonly executable: Promise<Executable>,
    readonly numbers: readonly (number | null)[],
    readonly variables: readonly VariableSource[],
  ) {
    super()
  }

  dispose(): void {
    this.executable.then(
      (executable) => executable.dispose(),
      () => {},
    )
  }
}

const caches = new Map<Device, ProgramCache<CachedProgram>>()

/** What names of inputs that are numbers begin with. */
const NUMBER = 'n'

/** The elements of values that are all known, else undefined. */
export function residentData(values: readonly Value[]): TypedArray[] | undefined {
  const data: TypedArray[] = []
  for (const { resident } of values) {
    if (!resident) return undefined
    data.push(resident)
  }
  return data
}

/** Elements of each value, in order, as they are now. Arrays are shared with the graph: copy before handing them out. */
export async function evaluate(values: readonly Value[], device: Device = defaultDevice()): Promise<TypedArray[]> {
  const { variables, start } = evaluation(values, device)
  return await inTurn(variables, start)
}

/** As evaluate, for a call whose turn it is. */
export async function evaluateNow(values: readonly Value[]): Promise<TypedArray[]> {
  return await (await evaluation(values).start()).result
}

export interface Evaluation {
  /** What the values depend on. */
  readonly variables: readonly VariableState[]
  start(): Started<TypedArray[]> | Promise<Started<TypedArray[]>>
}

export function evaluation(values: readonly Value[], device: Device = defaultDevice()): Evaluation {
  const known = residentData(values)
  if (known) return { variables: [], start: () => ({ result: known }) }
  const views = values.map(viewOf)
  const missing = [...new Set(values.filter((value, i) => !value.resident && !views[i]))]
  const graph = missing.length > 0 ? normalize(missing, device) : undefined
  const variables = views.flatMap((view) => view?.variable ?? [])
  const start = (): Started<TypedArray[]> | Promise<Started<TypedArray[]>> => {
    const read = Promise.all(values.map((value, i) => value.resident ?? (views[i] && readView(views[i], device))))
    if (!graph) return { result: read as Promise<TypedArray[]> }
    read.catch(() => {}) // where the run fails on its own
    const finish = async (run: Started<TypedArray[]>): Promise<TypedArray[]> => {
      const computed = await run.result
      if (graph.lasting) for (const [i, value] of missing.entries()) settle(value, computed[i]!)
      return (await read).map((data, i) => data ?? computed[missing.indexOf(values[i]!)]!)
    }
    return run(graph, device).then((started) => ({ result: finish(started) }))
  }
  return { variables: graph ? [...variables, ...graph.variables] : variables, start }
}

/** A variable, or one that is only reshaped or transposed. */
interface View {
  readonly variable: VariableState
  /** From the variable to the value. */
  readonly steps: readonly Node[]
}

function viewOf(value: Value): View | undefined {
  if (value.resident) return undefined
  const steps: Node[] = []
  let { node } = value
  while (node.op.traits.view || node.op === transposeOp) {
    if (node.outputs[0]!.resident) return undefined
    steps.unshift(node)
    node = node.inputs[0]!.node
  }
  return node.source?.kind === 'variable' ? { variable: node.source as VariableState, steps } : undefined
}

/**
 * A variable's view as a graph over its elements read now: no program is bound to its buffer, and variables of one shape
 * share a program.
 */
async function readView({ variable, steps }: View, device: Device): Promise<TypedArray> {
  const data = await variable.readNow()
  if (steps.length === 0) return data
  let value = makeLeaf({ kind: 'constant', data }, variable.type)
  for (const step of steps) value = rebuild(step, [value]).outputs[0]!
  return (await evaluate([value], device))[0]!
}

/** Runs the graph; it has started when the promise resolves. */
async function run(graph: Normalized, device: Device): Promise<Started<TypedArray[]>> {
  const { key, numbers, variables } = graph
  for (const variable of variables) if (variable.placed?.device !== device) await variable.on(device)
  const cache = caches.get(device) ?? new ProgramCache<CachedProgram>(KEPT)
  caches.set(device, cache)
  const make = (fixed: readonly (number | null)[]): CachedProgram => {
    const executable = device.compile(graph.graphOf(fixed), { hoist: false }) // most of these programs run once
    const made = new CachedProgram(executable, fixed, variables)
    cache.set(key, made)
    return made
  }
  for (;;) {
    let used = cache.get(key) ?? make(numbers)
    const known = used.numbers
    const changed = known.some((number, i) => number !== null && !Object.is(number, numbers[i]))
    if (changed) used = make(numbers.map((number, i) => (Object.is(number, known[i]) ? number : null)))
    used.enter()
    try {
      const executable = await used.executable
      used.bytes = executable.bytes
      cache.trim()
      if (executable.isBound()) return { result: executable.run(inputsOf(executable, graph, device)) }
      cache.retire(used)
    } catch (error) {
      // What cannot be compiled is tried anew next time: memory may have been freed meanwhile.
      used.executable.catch(() => cache.retire(used))
      throw error
    } finally {
      used.leave()
    }
  }
}

/** Equal keys mean equal names and types. */
function inputsOf({ inputs }: Executable, { feeds, numbers, scalars }: Normalized, device: Device): TypedArray[] {
  return inputs.map(({ source, type }) => {
    if (source.kind === 'hostScalar') return scalar(scalars.get(source)!)
    const at = Number(source.name.slice(1))
    if (!source.name.startsWith(NUMBER)) return feeds[at]!
    // The reference computes with numbers as they are.
    return scalar(numbers[at]!, device.kind === 'reference' ? 'float64' : type.dtype)
  })
}

/** Called when a variable's buffer is released, and when nobody holds it any more: cached programs would keep it. */
export function forgetVariable(variable: VariableSource): void {
  for (const cache of caches.values()) {
    for (const program of cache.programs) if (program.variables.includes(variable)) cache.retire(program)
  }
}

export function scalar(value: number, dtype: DType = 'float32'): TypedArray {
  return allocate(dtype, 1).fill(value)
}

interface Normalized {
  /** The graph where those numbers are constants that are not null; the others are inputs n0, n1, .. */
  graphOf(numbers: readonly (number | null)[]): Graph
  /** Host elements of each input, in the order of their names. */
  feeds: TypedArray[]
  /** What the graph's `full` nodes hold, where that does not shape the program. */
  numbers: number[]
  scalars: ReadonlyMap<HostScalarSource, number>
  /** Equal for graphs of the same structure. */
  key: string
  variables: VariableState[]
  /** The values can never change: nothing behind them is a variable or a host scalar. */
  lasting: boolean
}

/**
 * A copy of the graph behind `values` whose resident values are inputs c0, c1, .., and its structure as text. What is
 * known of numbers is folded first, so that it does not depend on which of them are inputs.
 */
function normalize(values: readonly Value[], device: Device): Normalized {
  const feeds: TypedArray[] = []
  const numbers: Value[] = []
  const variables: VariableState[] = []
  const scalars = new Map<HostScalarSource, number>()
  const lines: string[] = []
  const map = new Map<Value, Value>()
  const ids = new Map<Value, string>()
  const name = (value: Value, id: string): Value => {
    ids.set(value, id)
    lines.push(`${id}:${value.dtype}[${value.shape}]`)
    return value
  }
  const find = (value: Value): Value => {
    if (value.resident && !map.has(value)) {
      const id = `c${feeds.push(value.resident) - 1}`
      map.set(value, name(makeLeaf({ kind: 'input', name: id }, value.type), id))
    }
    return map.get(value)!
  }
  const read = (value: Value): Value => {
    if (isNumber(value) && !ids.has(value)) name(value, `${NUMBER}${numbers.push(value) - 1}`)
    return value
  }
  let count = 0
  let lasting = true
  for (const node of topological(values, (value) => value.resident === undefined)) {
    if (node.source) {
      checkLeaf(node)
      lasting = false
      if (node.source.kind === 'variable') variables.push(node.source as VariableState)
      if (node.source.kind === 'hostScalar') scalars.set(node.source, node.source.read())
      ids.set(node.outputs[0]!, node.source.kind === 'variable' ? `v${node.source.id}` : `h${node.id}`)
      map.set(node.outputs[0]!, node.outputs[0]!)
      continue
    }
    const inputs = node.inputs.map(find)
    // The reference takes the graph as it was written.
    const folded = device.kind === 'reference' ? undefined : foldNode(node, inputs)
    // Always a new node: the cached graph must not hold on to the elements of the values it was made from.
    const types = node.outputs.map((output) => output.type)
    const copy = folded?.node ?? new Node(node.op, inputs, node.attrs, types, node.name)
    const outputs = folded ? [folded] : copy.outputs
    node.outputs.forEach((output, i) => map.set(output, outputs[i]!))
    if (isNumber(outputs[0]!) || ids.has(outputs[0]!)) continue
    const operands = copy.inputs.map((input) => ids.get(read(input))).join(',')
    copy.outputs.forEach((output, i) => ids.set(output, `${count}.${i}`))
    lines.push(`${count++}=${copy.op.name}(${operands})${attrKey(copy.attrs)}:${copy.outputs[0]!.dtype}`)
  }
  const roots = values.map((value) => read(find(value)))
  lines.push(roots.map((value) => ids.get(value)).join(','))
  return {
    graphOf: (fixed) => withNumbers(new Graph(roots), numbers, fixed),
    feeds,
    numbers: numbers.map(({ node }) => node.attrs.value as number),
    scalars,
    key: lines.join(';'),
    variables,
    lasting,
  }
}

/** A number in place of a value that may become an input; of halves, kernels know more than an input holds. */
function isNumber({ node, dtype }: Value): boolean {
  return node.op === fullOp && !isHalf(dtype)
}

/** `graph` with `numbers` as inputs where `fixed` is null. */
function withNumbers(graph: Graph, numbers: readonly Value[], fixed: readonly (number | null)[]): Graph {
  const changing = new Map(numbers.flatMap(({ node }, i) => (fixed[i] === null ? [[node, i] as const] : [])))
  if (changing.size === 0) return graph
  return rewrite(graph, (node) => {
    const at = changing.get(node)
    if (at === undefined) return undefined
    const { shape, dtype } = node.outputs[0]!
    const input = makeLeaf({ kind: 'input', name: `${NUMBER}${at}` }, { shape: [], dtype })
    return shape.length === 0 ? [input] : makeNode(broadcastToOp, [input], { shape }).outputs
  })
}

function checkLeaf(node: Node): void {
  if (node.source?.kind === 'input') missingFeed(node.source)
}

/** ERR_FEED_MISSING for an input that a run needs and nobody gave. */
export function missingFeed(source: InputSource): never {
  if (source.placeholder) {
    throw new ForjaError('ERR_FEED_MISSING', `${source.placeholder} needs a value`, {
      hint: 'session.run(fetches, { feed: new Map([[placeholder, value]]) })',
    })
  }
  throw new ForjaError(
    'ERR_FEED_MISSING',
    `'${source.name}' has no value here: it is an argument of a function that is being compiled`,
    { hint: 'return the tensor from the compiled function and read the result' },
  )
}
