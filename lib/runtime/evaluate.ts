/**
 * Reading values outside `compile`: the graph they need is compiled, run, and the program kept for the next graph of
 * the same structure. Host constants become inputs of the program, so that structure does not depend on their numbers.
 */
import type { TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import {
  attrKey,
  Graph,
  type InputSource,
  Node,
  rebuild,
  topological,
  type Value,
  type VariableSource,
} from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import type { AnyOp } from '../ops/registry.js'
import { transposeOp } from '../ops/shape.js'
import { type Device, defaultDevice, type Executable } from './device.js'
import type { VariableState } from './state.js'

/** Programs kept per device, and the memory they may hold together; the least recently used goes first. */
const CACHE_SIZE = 256
const CACHE_BYTES = 128 * 2 ** 20

interface CachedProgram {
  readonly executable: Promise<Executable>
  /** Whose buffers it is bound to. */
  readonly variables: readonly VariableSource[]
  /** Calls that wait for it or run it; thrown out of the cache, it is disposed after the last one. */
  users: number
  dropped: boolean
  /** Known once it is compiled. */
  bytes: number
}

const caches = new Map<Device, Map<string, CachedProgram>>()

/** The elements of values that are all known, else undefined. */
export function residentData(values: readonly Value[]): TypedArray[] | undefined {
  const data: TypedArray[] = []
  for (const { resident } of values) {
    if (!resident) return undefined
    data.push(resident)
  }
  return data
}

/** Elements of each value, in order. Arrays are shared with the graph: copy before handing them out. */
export async function evaluate(values: readonly Value[], device: Device = defaultDevice()): Promise<TypedArray[]> {
  const known = residentData(values)
  if (known) return known
  const roots = await Promise.all(values.map(readVariable))
  const missing = roots.filter((value) => value.resident === undefined)
  if (missing.length > 0) await evaluateMissing([...new Set(missing)], device)
  return roots.map((value) => value.resident ?? evaluated.get(value)!)
}

/**
 * A variable, or one that is only reshaped or transposed, as a graph over its elements read now: no program is bound to
 * its buffer, and variables of one shape share a program. Any other value as it is.
 */
async function readVariable(value: Value): Promise<Value> {
  const chain: Node[] = []
  let { node } = value
  while (node.op.traits.view || node.op === (transposeOp as AnyOp)) {
    if (node.outputs[0]!.resident) return value
    chain.push(node)
    node = node.inputs[0]!.node
  }
  if (node.source?.kind !== 'variable') return value
  const data = await (node.source as VariableState).read()
  let current = makeLeaf({ kind: 'constant', data }, node.source.type)
  for (const step of chain.reverse()) current = rebuild(step, [current]).outputs[0]!
  return current
}

/** Results of values that depend on variables: true at the moment of reading only, so not kept on the value. */
const evaluated = new WeakMap<Value, TypedArray>()

async function evaluateMissing(values: readonly Value[], device: Device): Promise<void> {
  const { graph, feeds, key, variables, lasting } = normalize(values)
  for (const variable of variables) await (variable as VariableState).on(device)
  const cache = caches.get(device) ?? new Map<string, CachedProgram>()
  caches.set(device, cache)
  const results = await withExecutable(
    cache,
    key,
    () => device.compile(graph, { hoist: false }), // most of these programs run once
    variables,
    (executable) => {
      // Inputs are named c0, c1, .. in the order of the feeds: equal keys mean equal names and types.
      const inputs = executable.inputs.map(({ source }) =>
        source.kind === 'hostScalar' ? scalar(source.read()) : feeds[Number((source as InputSource).name.slice(1))]!,
      )
      return executable.run(inputs)
    },
  )
  values.forEach((value, i) => {
    if (lasting) value.resident = results[i]!
    else evaluated.set(value, results[i]!)
  })
}

async function withExecutable<T>(
  cache: Map<string, CachedProgram>,
  key: string,
  make: () => Promise<Executable>,
  variables: readonly VariableSource[],
  use: (executable: Executable) => T | Promise<T>,
): Promise<T> {
  for (;;) {
    const entry = cache.get(key) ?? { executable: make(), variables, users: 0, dropped: false, bytes: 0 }
    cache.delete(key)
    cache.set(key, entry)
    entry.users++
    try {
      const executable = await entry.executable
      entry.bytes = executable.bytes
      trim(cache)
      if (executable.isBound()) return await use(executable)
      drop(cache, key, entry)
    } catch (error) {
      // What cannot be compiled is tried anew next time: memory may have been freed meanwhile.
      entry.executable.catch(() => drop(cache, key, entry))
      throw error
    } finally {
      entry.users--
      release(entry)
    }
  }
}

/** Called when a variable's buffer is released: cached programs would keep it. */
export function forgetVariable(variable: VariableSource): void {
  for (const cache of caches.values()) {
    for (const [key, entry] of cache) if (entry.variables.includes(variable)) drop(cache, key, entry)
  }
}

function trim(cache: Map<string, CachedProgram>): void {
  let bytes = [...cache.values()].reduce((total, entry) => total + entry.bytes, 0)
  for (const [key, entry] of cache) {
    if (cache.size <= CACHE_SIZE && (bytes <= CACHE_BYTES || cache.size === 1)) return
    bytes -= entry.bytes
    drop(cache, key, entry)
  }
}

function drop(cache: Map<string, CachedProgram>, key: string, entry: CachedProgram): void {
  if (cache.get(key) === entry) cache.delete(key)
  entry.dropped = true
  release(entry)
}

function release(entry: CachedProgram): void {
  if (!entry.dropped || entry.users > 0) return
  entry.executable.then(
    (executable) => executable.dispose(),
    () => {},
  )
}

export function scalar(value: number): TypedArray {
  return Float32Array.of(value)
}

interface Normalized {
  graph: Graph
  /** Host elements of each input, in the order of their names. */
  feeds: TypedArray[]
  /** Equal for graphs of the same structure. */
  key: string
  variables: VariableSource[]
  /** The values can never change: nothing behind them is a variable or a host scalar. */
  lasting: boolean
}

/** A copy of the graph behind `values` whose resident values are inputs c0, c1, .., and its structure as text. */
function normalize(values: readonly Value[]): Normalized {
  const feeds: TypedArray[] = []
  const variables: VariableSource[] = []
  const lines: string[] = []
  const map = new Map<Value, Value>()
  const ids = new Map<Value, string>()
  const adopt = (value: Value): void => {
    if (map.has(value)) return
    const name = `c${feeds.length}`
    feeds.push(value.resident!)
    map.set(value, makeLeaf({ kind: 'input', name }, value.type))
    ids.set(value, name)
    lines.push(`${name}:${value.dtype}[${value.shape}]`)
  }
  let count = 0
  let lasting = true
  for (const node of topological(values, (value) => value.resident === undefined)) {
    for (const input of node.inputs) if (input.resident) adopt(input)
    if (node.source) {
      checkLeaf(node)
      lasting = false
      if (node.source.kind === 'variable') variables.push(node.source)
      ids.set(node.outputs[0]!, node.source.kind === 'variable' ? `v${node.source.id}` : `h${node.id}`)
      map.set(node.outputs[0]!, node.outputs[0]!)
      continue
    }
    // Always a new node: the cached graph must not hold on to the elements of the values it was made from.
    const types = node.outputs.map((output) => output.type)
    const ins = node.inputs.map((input) => map.get(input)!)
    const copy = new Node(node.op, ins, node.attrs, types, node.name)
    node.outputs.forEach((output, i) => {
      map.set(output, copy.outputs[i]!)
      ids.set(output, `${count}.${i}`)
    })
    const inputs = node.inputs.map((input) => ids.get(input)).join(',')
    lines.push(`${count++}=${node.op.name}(${inputs})${attrKey(node.attrs)}:${node.outputs[0]!.dtype}`)
  }
  lines.push(values.map((value) => ids.get(value)).join(','))
  return { graph: new Graph(values.map((value) => map.get(value)!)), feeds, key: lines.join(';'), variables, lasting }
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
