/**
 * Where random numbers come from. Every random operation reads a state of four int32: seed (low, high), counter, and a
 * domain that keeps eager and compiled draws apart (native/cpu/random.cc says how they become Philox counters).
 * Outside `compile` each operation gets a state of its own from a host counter; inside, all share the device's state
 * variable, which a program advances once a run, and differ by their stream number.
 */
import { ForjaError } from '../errors.js'
import type { TensorType, Value } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import { add } from '../ops/elementwise.js'
import { Tensor } from '../tensor.js'
import { activeTrace } from './compile.js'
import type { Device } from './device.js'
import { VariableState } from './state.js'

const TYPE: TensorType = { shape: [4], dtype: 'int32' }
const EAGER = 0
const COMPILED = 1

let seed = 0
let eagerDraws = 0
const states = new Map<Device, VariableState>()

function stateFor(counter: number, domain: number): Int32Array {
  return Int32Array.of(seed | 0, Math.floor(seed / 2 ** 32) | 0, counter | 0, domain)
}

/**
 * Makes every random number that follows a function of `value`: initial weights, dropout, shuffling.
 *
 * @throws ERR_ARGUMENT unless value is an integer in [0, 2^53).
 */
export function setSeed(value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new ForjaError('ERR_ARGUMENT', `setSeed: an integer in [0, 2^53) was expected, got ${value}`)
  }
  seed = value
  eagerDraws = 0
  for (const state of states.values()) state.dispose()
  states.clear()
}

/** The seed in force. */
export function currentSeed(): number {
  return seed
}

/** State and stream of the next random operation. */
export function nextRandom(): { state: Tensor; stream: number } {
  const trace = activeTrace()
  if (trace) return { state: new Tensor(stateVariable(trace.device)), stream: trace.randomStreams++ }
  return { state: new Tensor(makeLeaf({ kind: 'constant', data: stateFor(eagerDraws++, EAGER) }, TYPE)), stream: 0 }
}

const leaves = new WeakMap<VariableState, Value>()

function stateVariable(device: Device): Value {
  let state = states.get(device)
  if (!state) {
    state = new VariableState('random state', TYPE, makeLeaf({ kind: 'constant', data: stateFor(0, COMPILED) }, TYPE))
    states.set(device, state)
  }
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
