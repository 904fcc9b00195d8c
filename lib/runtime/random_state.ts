/**
 * Where random operations draw from. Every one reads a state of four int32: seed (low, high), draw, and the domain of
 * lib/random.ts that keeps eager and compiled draws apart; ops/random.ts says how they become Philox counters. Outside
 * `compile` each operation gets a state of its own, numbered since the last setSeed; inside, all share the device's
 * state variable, which a program advances once a run, and differ by their stream number.
 */
import type { TensorType, Value } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import { add } from '../ops/elementwise.js'
import { DOMAINS, defaultSeed, onSetSeed } from '../random.js'
import { Tensor } from '../tensor.js'
import { activeTrace } from './compile.js'
import type { Device } from './device.js'
import { VariableState } from './state.js'

const TYPE: TensorType = { shape: [4], dtype: 'int32' }

let eagerDraws = 0
const states = new Map<Device, VariableState>()

function stateFor(draw: number, domain: number, seed = defaultSeed()): Int32Array {
  return Int32Array.of(seed | 0, Math.floor(seed / 2 ** 32) | 0, draw | 0, domain)
}

// Compiled programs hold on to their state variable: it is written, not replaced.
onSetSeed(() => {
  eagerDraws = 0
  // A device that is lost says so to whoever uses it.
  for (const state of states.values()) state.write(stateFor(0, DOMAINS.program)).catch(() => {})
})

/** State and stream of the next random operation. */
export function nextRandom(): { state: Tensor; stream: number } {
  const trace = activeTrace()
  if (trace) return { state: new Tensor(stateVariable(trace.device)), stream: trace.randomStreams++ }
  return {
    state: new Tensor(makeLeaf({ kind: 'constant', data: stateFor(eagerDraws++, DOMAINS.tensor) }, TYPE)),
    stream: 0,
  }
}

const leaves = new WeakMap<VariableState, Value>()

/** What compiled functions on `device` draw from next: read and written by checkpoints. */
export function randomStateOf(device: Device): VariableState {
  let state = states.get(device)
  if (!state) {
    state = new VariableState(
      'random state',
      TYPE,
      makeLeaf({ kind: 'constant', data: stateFor(0, DOMAINS.program) }, TYPE),
    )
    states.set(device, state)
  }
  return state
}

/** Lets compiled functions on `device` begin anew, with a seed of their own. */
export async function seedRandomState(device: Device, value: number): Promise<void> {
  await randomStateOf(device).write(stateFor(0, DOMAINS.program, value))
}

function stateVariable(device: Device): Value {
  const state = randomStateOf(device)
  let leaf = leaves.get(state)
  if (!leaf) {
    leaf = makeLeaf(state, TYPE)
    leaves.set(state, leaf)
  }
  return leaf
}

/** Assigns the state that the next run of the traced program starts from. */
export function advanceRandomState(trace: { device: Device; assignments: Map<VariableState, Value> }): void {
  const leaf = stateVariable(trace.device)
  const step = new Tensor(makeLeaf({ kind: 'constant', data: Int32Array.of(0, 0, 1, 0) }, TYPE))
  trace.assignments.set(leaf.node.source as VariableState, add(new Tensor(leaf), step).value)
}
