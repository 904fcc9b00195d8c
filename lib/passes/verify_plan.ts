/**
 * Printer and verifier of schedule and memory plan. The verifier plays the program through: who wrote each piece of
 * memory last, and is it still there when a step reads it? A failure is a bug of forja, hence ERR_INTERNAL.
 */
import { ForjaError } from '../errors.js'
import type { Value, VariableSource } from '../graph/graph.js'
import { byteSize } from '../shape.js'
import type { Plan } from './plan.js'
import type { Schedule } from './schedule.js'
import { indexOfFirst, storageOf } from './storage.js'

/** `12 matmul [64+1024] <- ..`: every step with the places it writes, the commit marked. */
export function printPlan({ steps, commitIndex }: Schedule, plan: Plan): string {
  const place = (value: Value) => {
    const stored = storageOf(value)
    const offset = plan.offsets.get(stored)
    if (offset !== undefined) return `[${offset}+${byteSize(stored)}]`
    const { source } = stored.node
    return source && 'name' in source ? `'${source.name}'` : 'constant'
  }
  const lines = steps.map(({ node, inputs, outputs }, i) => {
    const written = outputs.map((output) => ('node' in output ? place(output) : `'${output.name}'`)).join(' ')
    return `${i}${i >= commitIndex ? ' commit' : ''} ${node.op.name} ${written} <- ${inputs.map(place).join(' ')}`
  })
  return [...lines, `arena ${plan.arenaBytes} bytes, ${plan.naiveBytes} without reuse, ${plan.inPlace} in place`].join(
    '\n',
  )
}

/** Every value is whole when it is read, and no variable is written before the commit or read after its change. */
export function verifyPlan(schedule: Schedule, plan: Plan): void {
  const { steps, commitIndex, outputs } = schedule
  const fail = (message: string): never => {
    throw new ForjaError('ERR_INTERNAL', `memory plan: ${message}`)
  }
  const whole = new Set<Value>()
  /** The same with their places, in the order of memory: what is whole overlaps nothing else that is. */
  const places: { value: Value; begin: number; end: number }[] = []
  const changed = new Set<VariableSource>()
  const range = (value: Value) => {
    const begin = plan.offsets.get(value) ?? fail(`${value.node.op.name} has no place`)
    return { begin, end: begin + byteSize(value) }
  }
  const read = (value: Value, what: string) => {
    const stored = storageOf(value)
    const { source } = stored.node
    if (source?.kind === 'variable' && changed.has(source)) fail(`${what} reads '${source.name}' after its change`)
    if (!source && !whole.has(stored))
      fail(`${what} reads ${stored.node.op.name}, which is overwritten or not there yet`)
  }
  const write = (value: Value) => {
    const { begin, end } = range(value)
    if (end > plan.arenaBytes) fail(`${value.node.op.name} reaches past the arena`)
    const from = indexOfFirst(places, (taken) => begin < taken.end)
    let to = from
    for (; to < places.length && places[to]!.begin < end; to++) whole.delete(places[to]!.value)
    places.splice(from, to - from, { value, begin, end })
    whole.add(value)
  }
  steps.forEach((step, index) => {
    const name = `step ${index} (${step.node.op.name})`
    for (const input of step.inputs) read(input, name)
    for (const output of step.outputs) {
      if ('node' in output) {
        write(output)
      } else {
        if (index < commitIndex) fail(`${name} writes '${output.name}' before the commit`)
        changed.add(output)
      }
    }
    for (const output of step.outputs) if ('node' in output && !whole.has(output)) fail(`outputs of ${name} overlap`)
  })
  for (const output of outputs) read(output, 'the caller')
}
