/**
 * The pass pipeline from a graph as the user wrote it to a native program. Each pass is Graph → Graph, has a printer
 * (`NODE_DEBUG=forja-passes`) and is followed by the verifier.
 */
import { setImmediate } from 'node:timers/promises'
import { debuglog } from 'node:util'
import type { Graph } from '../graph/graph.js'
import { printGraph } from '../graph/print.js'
import { verifyGraph } from '../graph/verify.js'
import { absorb } from './absorb.js'
import { cse } from './cse.js'
import { dce } from './dce.js'
import { emit, type Program } from './emit.js'
import { epilogue } from './epilogue.js'
import { fold } from './fold.js'
import { fuse } from './fuse.js'
import { hoist } from './hoist.js'
import { layout } from './layout.js'
import { plan } from './plan.js'
import { poolMaps } from './pool_maps.js'
import { pooled, type SmallMaps } from './pooled.js'
import { narrowMaps, widenWhereRead } from './precision.js'
import { schedule } from './schedule.js'
import { printPlan, verifyPlan } from './verify_plan.js'

const debug = debuglog('forja-passes')
const planDebug = debuglog('forja-plan')

export interface LowerOptions {
  /** Kernel variants forced by operation name: { matmul: 'naive' }. */
  algorithms?: Readonly<Record<string, string>>
  /** Whether what is of the parameters alone is computed once, by a program of its own. Default true. */
  hoist?: boolean
  /**
   * What can hold the maps of small convolutions, which these and the max pooling that follows do not hand each other
   * through memory then: unless a variant of conv2d is forced, and in float32 only. Default: nothing can.
   */
  smallMaps?: SmallMaps
  /** Whether the device runs steps side by side that share no memory. Default false. */
  branches?: boolean
  /** Of products, where the device has tensor cores. Default 'float32'. */
  precision?: Precision
}

/** What products are computed in: 'tf32' rounds their operands to 10 bits of fraction, 'bfloat16' stores them so. */
export type Precision = 'float32' | 'tf32' | 'bfloat16'

interface Pass {
  name: string
  run: (graph: Graph) => Graph
}

const NARROW: readonly Pass[] = [
  { name: 'precision', run: narrowMaps },
  { name: 'cse', run: cse },
  { name: 'widen', run: widenWhereRead },
]
const FUSE: Pass = { name: 'fuse', run: fuse }

function passesFor({ algorithms, precision, ...options }: LowerOptions): readonly Pass[] {
  const plain = algorithms?.conv2d === undefined && (precision ?? 'float32') === 'float32'
  const smallMaps = plain ? options.smallMaps : undefined
  return [
    { name: 'fold', run: fold },
    { name: 'layout', run: (graph) => layout(graph, options) },
    { name: 'cse', run: cse },
    { name: 'dce', run: dce },
    { name: 'absorb', run: absorb },
    { name: 'pooled', run: (graph) => pooled(graph, smallMaps) },
    { name: 'epilogue', run: epilogue },
    ...(smallMaps ? [{ name: 'pool maps', run: (graph: Graph) => poolMaps(graph, smallMaps) }] : []),
    ...(precision === 'bfloat16' ? NARROW : []),
  ]
}

export interface Lowered {
  readonly program: Program
  /** Writes the derived variables that `program` reads; null where it reads none. */
  readonly prepare: Program | null
}

/**
 * The event loop turns between passes: each takes milliseconds for a large graph that is compiled for the first time.
 */
export async function lower(graph: Graph, options: LowerOptions = {}): Promise<Lowered> {
  await setImmediate()
  verifyGraph(graph, 'trace')
  let current = graph
  if (debug.enabled) debug('trace\n%s', printGraph(current))
  const run = async (pass: Pass, on: Graph): Promise<Graph> => {
    await setImmediate()
    const result = pass.run(on)
    if (debug.enabled) debug('%s\n%s', pass.name, printGraph(result))
    verifyGraph(result, pass.name)
    return result
  }
  for (const pass of passesFor(options)) current = await run(pass, current)
  const { graph: main, prepare } = options.hoist === false ? { graph: current, prepare: null } : hoist(current)
  if (prepare && debug.enabled) debug('hoist\n%s\nprepare\n%s', printGraph(main), printGraph(prepare))
  verifyGraph(main, 'hoist')
  return {
    program: await finish(await run(FUSE, main), options),
    prepare: prepare && (await finish(await run(FUSE, prepare), options)),
  }
}

async function finish(graph: Graph, options: LowerOptions): Promise<Program> {
  await setImmediate()
  const order = schedule(graph)
  const memory = plan(order, options)
  await setImmediate()
  if (planDebug.enabled) planDebug('%s', printPlan(order, memory))
  verifyPlan(order, memory)
  await setImmediate()
  return emit(order, memory, options)
}
