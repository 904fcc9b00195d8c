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
  type Node,
  rebuild,
  topological,
  type Value,
  type VariableSource,
} from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import { type Device, defaultDevice, type Executable } from './device.js'
import type { VariableState } from './state.js'

/** Programs kept per device; the least recently used goes first. */
const CACHE_SIZE = 256

interface CachedProgram {
  readonly executable: Promise<Executable>
}

const caches = new WeakMap<Device, Map<string, CachedProgram>>()

/** Elements of each value, in order. Arrays are shared with the graph: copy before handing them out. */
export async function evaluate(values: readonly Value[], device: Device = defaultDevice()): Promise<TypedArray[]> {
  const missing = values.filter((value) => value.resident === undefined)
  if (missing.length > 0) await evaluateMissing([...new Set(missing)], device)
  return values.map((value) => value.resident ?? evaluated.get(value)!)
}

/** Results of values that depend on variables: true at the moment of reading only, so not kept on the value. */
const evaluated = new WeakMap<Value, TypedArray>()

async function evaluateMissing(values: readonly Value[], device: Device): Promise<void> {
  const { graph, feeds, key, variables, lasting } = normalize(values)
  for (const variable of variables) await (variable as VariableState).on(device)
  const cache = caches.get(device) ?? new Map<string, CachedProgram>()
  caches.set(device, cache)
  const executable = await cachedExecutable(cache, key, () => device.compile(graph, {}))
  // Inputs are named c0, c1, .. in the order of the feeds: equal keys mean equal names and types.
  const inputs = executable.inputs.map(({ source }) =>
    source.kind === 'hostScalar' ? scalar(source.read()) : feeds[Number((source as InputSource).name.slice(1))]!,
  )
  const results = await executable.run(inputs)
  values.forEach((value, i) => {
    if (lasting) value.resident = results[i]!
    else evaluated.set(value, results[i]!)
  })
}

async function cachedExecutable(
  cache: Map<string, CachedProgram>,
  key: string,
  make: () => Promise<Executable>,
): Promise<Executable> {
  const entry = cache.get(key) ?? { executable: make() }
  cache.delete(key)
  cache.set(key, entry)
  trim(cache)
  try {
    const executable = await entry.executable
    if (executable.isBound()) return executable
    executable.dispose()
  } catch (error) {
    cache.delete(key)
    throw error
  }
  cache.delete(key)
  return await cachedExecutable(cache, key, make)
}

function trim(cache: Map<string, CachedProgram>): void {
  for (const [key, entry] of cache) {
    if (cache.size <= CACHE_SIZE) return
    cache.delete(key)
    entry.executable.then(
      (executable) => executable.dispose(),
      () => {},
    )
  }
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
    const copy = rebuild(
      node,
      node.inputs.map((input) => map.get(input)!),
    )
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
  if (node.source?.kind === 'input') {
    throw new ForjaError(
      'ERR_FEED_MISSING',
      `'${node.source.name}' has no value here: it is an argument of a function that is being compiled`,
      {
        hint: 'return the tensor from the compiled function and read the result',
      },
    )
  }
}
