/** Values as pieces of memory. */
import type { Value } from '../graph/graph.js'
import type { Step } from './schedule.js'

/** The value whose memory `value` is: itself, or what a chain of views looks at. */
export function storageOf(value: Value): Value {
  let current = value
  while (current.node.op.traits.view) current = current.node.inputs[0]!
  return current
}

/** The last step that reads each stored value; what is kept is read behind all of them. */
export function lastUses(steps: readonly Step[], kept: readonly Value[]): Map<Value, number> {
  const last = new Map<Value, number>()
  steps.forEach((step, index) => {
    for (const input of step.inputs) last.set(storageOf(input), index)
  })
  for (const value of kept) last.set(storageOf(value), steps.length)
  return last
}

/** Where the first item lies for which `holds` is true, as it is for all behind it; the list's length where it is for none. */
export function indexOfFirst<T>(sorted: readonly T[], holds: (item: T) => boolean): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(sorted[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}
