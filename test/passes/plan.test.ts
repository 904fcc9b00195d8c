/** The memory plan against an independent checker, on random schedules; and the rules for working in place. */
import { describe, expect, it } from 'vitest'
import { Graph, type InputSource, Node, type Value } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import type { AnyOp } from '../../lib/ops/registry.js'
import { emit } from '../../lib/passes/emit.js'
import { fuse } from '../../lib/passes/fuse.js'
import { plan } from '../../lib/passes/plan.js'
import { type Schedule, type Step, schedule } from '../../lib/passes/schedule.js'
import { storageOf } from '../../lib/passes/storage.js'
import { printPlan, verifyPlan } from '../../lib/passes/verify_plan.js'
import { RandomStream } from '../../lib/random.js'
import { byteSize } from '../../lib/shape.js'
import { Tensor } from '../../lib/tensor.js'

/** An operation that exists for these tests only, in no registry. */
function fakeOp(traits: AnyOp['traits']): AnyOp {
  return {
    name: 'fake',
    code: 65000,
    inputs: ['x...'],
    attrs: {},
    infer: () => [],
    grad: null,
    reference: null,
    traits,
  }
}
const SOURCE: InputSource = { kind: 'input', name: 'x' }
const float = (...shape: number[]) => ({ shape, dtype: 'float32' as const })
const node = (traits: AnyOp['traits'], inputs: readonly Value[], sizes: readonly number[]) =>
  new Node(
    fakeOp(traits),
    inputs,
    {},
    sizes.map((n) => float(n)),
  )

/**
 * Walks the steps and keeps, for every byte range, which value was written there last: whoever reads a value must find
 * its own. Quadratic and free of the planner's ideas (no live ranges, no blocks).
 */
function checkPlan({ steps, outputs }: Schedule, options?: { branches: boolean }): void {
  const { offsets, arenaBytes, naiveBytes } = plan({ steps, outputs, commitIndex: steps.length }, options)
  expect(arenaBytes).toBeLessThanOrEqual(naiveBytes)
  let memory: { value: Value; begin: number; end: number }[] = []
  const rangeOf = (value: Value) => {
    const begin = offsets.get(value)!
    expect(begin % 64).toBe(0)
    expect(begin + byteSize(value)).toBeLessThanOrEqual(arenaBytes)
    return { value, begin, end: begin + byteSize(value) }
  }
  const expectIntact = (value: Value, when: string) => {
    const stored = storageOf(value)
    if (stored.node.op.traits.leaf || byteSize(stored) === 0) return
    const { begin, end } = rangeOf(stored)
    const owners = memory.filter((m) => m.begin < end && begin < m.end)
    expect(
      owners.map((m) => m.value === stored && m.begin === begin && m.end === end),
      `${when}: a value was overwritten`,
    ).toEqual([true])
  }
  steps.forEach((step, index) => {
    for (const input of step.inputs) expectIntact(input, `step ${index}`)
    const written = step.outputs.filter((o): o is Value => 'node' in o).map(rangeOf)
    for (const range of written) {
      // Over an input only where the operation says so, in exactly its place.
      for (const input of step.inputs) {
        const stored = storageOf(input)
        if (stored.node.op.traits.leaf || byteSize(stored) === 0 || range.begin === range.end) continue
        const other = rangeOf(stored)
        if (other.begin >= range.end || range.begin >= other.end) continue
        expect([range.begin, range.end]).toEqual([other.begin, other.end])
        const pairs = step.node.op.traits.inplace ?? []
        const position = step.node.outputs.indexOf(range.value)
        expect(pairs.some(([out, from]) => out === position && storageOf(step.inputs[from]!) === stored)).toBe(true)
        expect(step.inputs.filter((i) => storageOf(i) === stored)).toHaveLength(1)
      }
      memory = memory.filter((m) => m.end <= range.begin || range.end <= m.begin)
    }
    written.forEach((range, i) => {
      for (const other of written.slice(i + 1)) {
        if (range.begin < range.end && other.begin < other.end)
          expect(range.end <= other.begin || other.end <= range.begin).toBe(true)
      }
    })
    memory.push(...written)
  })
  for (const output of outputs) expectIntact(output, 'end')
}

function randomSchedule(seed: number): Schedule {
  const random = new RandomStream(seed, 0, 7)
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const values: Value[] = [makeLeaf(SOURCE, float(16)), makeLeaf(SOURCE, float(100))]
  const steps: Step[] = []
  const sizes = [0, 1, 16, 16, 17, 100, 100, 1000]
  for (let i = 0; i < 40; i++) {
    // Mostly recent values, so that many die.
    const recent = random.below(3) > 0 ? values.slice(-4) : values
    const inputs = Array.from({ length: random.below(4) }, () => pick(recent))
    if (inputs.length > 0 && random.below(5) === 0) {
      values.push(node({ view: true }, [inputs[0]!], [inputs[0]!.size]).outputs[0]!)
      continue
    }
    const outputs = 1 + random.below(2)
    const inplace = inputs.length > 0 && random.below(2) ? inputs.map((_, k) => [k % outputs, k] as const) : undefined
    const made = node(
      inplace ? { inplace } : {},
      inputs,
      Array.from({ length: outputs }, (_, k) => (inplace && k < inputs.length ? inputs[k]!.size : pick(sizes))),
    )
    steps.push({ node: made, inputs, outputs: made.outputs })
    values.push(...made.outputs)
  }
  return { steps, outputs: [pick(values), pick(values), values.at(-1)!], commitIndex: steps.length }
}

it('never lets two live values share memory, in 200 random schedules', () => {
  let inPlace = 0
  for (let seed = 0; seed < 200; seed++) {
    const random = randomSchedule(seed)
    checkPlan(random)
    inPlace += plan(random).inPlace
  }
  expect(inPlace).toBeGreaterThan(200)
})

describe('for a device with branches', () => {
  it('no two blocks of a small arena share memory, in 200 random schedules', () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = randomSchedule(seed)
      checkPlan(random, { branches: true })
      const apart = plan(random, { branches: true })
      expect(apart.inPlace).toBe(plan(random).inPlace)
      const places = [...apart.offsets].map(([value, begin]) => ({ begin, end: begin + byteSize(value) }))
      for (const a of places) {
        const shared = places.filter((b) => a.begin < b.end && b.begin < a.end)
        for (const b of shared) expect(b).toEqual(a)
      }
    }
  })
  it('a large arena is used in turns', () => {
    const chain = [makeLeaf(SOURCE, float(16))]
    const nodes = Array.from({ length: 8 }, () => {
      const next = node({}, [chain.at(-1)!], [3_000_000])
      chain.push(next.outputs[0]!)
      return next
    })
    const steps = nodes.map((n) => ({ node: n, inputs: n.inputs, outputs: n.outputs }))
    const order = { steps, outputs: [chain.at(-1)!], commitIndex: steps.length }
    expect(plan(order, { branches: true }).arenaBytes).toBe(2 * 12_000_000)
  })
})

describe('in place', () => {
  const x = makeLeaf(SOURCE, float(64))
  const inPlaceOf = (build: (a: Value) => Node[], outputs: (nodes: Node[]) => Value[]) => {
    const a = node({}, [x], [64])
    const nodes = [a, ...build(a.outputs[0]!)]
    const steps = nodes.map((n) => ({ node: n, inputs: n.inputs, outputs: n.outputs }))
    const order = { steps, outputs: outputs(nodes), commitIndex: steps.length }
    checkPlan(order)
    return plan(order).inPlace
  }
  const last = (nodes: Node[]) => [nodes.at(-1)!.outputs[0]!]
  const over = { inplace: [[0, 0]] } as const

  it('takes an input that dies', () => {
    expect(inPlaceOf((a) => [node(over, [a], [64])], last)).toBe(1)
  })
  it('spares an input that is read later or returned', () => {
    expect(inPlaceOf((a) => [node(over, [a], [64]), node({}, [a], [64])], last)).toBe(0)
    expect(
      inPlaceOf(
        (a) => [node(over, [a], [64])],
        (nodes) => nodes.map((n) => n.outputs[0]!),
      ),
    ).toBe(0)
  })
  it('spares an input that is read as another operand too, also through a view', () => {
    expect(inPlaceOf((a) => [node(over, [a, a], [64])], last)).toBe(0)
    expect(inPlaceOf((a) => [node(over, [a, node({ view: true }, [a], [64]).outputs[0]!], [64])], last)).toBe(0)
  })
  it('needs the same size and the trait', () => {
    expect(inPlaceOf((a) => [node(over, [a], [32])], last)).toBe(0)
    expect(inPlaceOf((a) => [node({}, [a], [64])], last)).toBe(0)
  })
  it('gives one input to one output only', () => {
    const both = {
      inplace: [
        [0, 0],
        [1, 0],
      ],
    } as const
    expect(
      inPlaceOf(
        (a) => [node(both, [a], [64, 64])],
        (nodes) => [nodes[1]!.outputs[1]!],
      ),
    ).toBe(1)
  })
  it('is what fused steps do', () => {
    const t = new Tensor(x)
    const y = fj.matmul(fj.reshape(t, [8, 8]), fj.reshape(t, [8, 8]))
    const order = schedule(fuse(new Graph([fj.add(fj.mul(y, y), 1).value])))
    expect(plan(order).inPlace).toBe(1)
  })
})

function emitted(value: Value) {
  const order = schedule(new Graph([value]))
  return emit(order, plan(order))
}

it('refuses more operands than an instruction can count', () => {
  const x = fj.ones([1])
  const joined = fj.concat(new Array<fj.Tensor>(65_536).fill(x))
  expect(() => emitted(joined.value)).toThrow(
    expect.objectContaining({
      code: 'ERR_UNSUPPORTED_OP',
      message: expect.stringContaining('concat: at most 65535 operands, got 65536'),
    }),
  )
})

it('writes lists longer than the stack holds arguments', () => {
  const x = makeLeaf(SOURCE, float(1))
  let value = x
  for (let i = 0; i < 3; i++) value = node({}, [value, ...new Array<Value>(60_000).fill(x)], [1]).outputs[0]!
  expect(emitted(value).bytes.length).toBeGreaterThan(180_000 * 4)
})

describe('the verifier', () => {
  const x = new fj.Tensor(makeLeaf({ kind: 'input', name: 'x' }, { shape: [64], dtype: 'float32' }))
  const order = schedule(new Graph([fj.sum(fj.relu(x)).value, fj.neg(fj.sum(x)).value]))

  it('accepts what the planner makes', () => {
    expect(() => verifyPlan(order, plan(order))).not.toThrow()
    expect(printPlan(order, plan(order))).toContain('arena')
  })

  it('refuses values that overwrite each other', () => {
    const good = plan(order)
    const crowded = { ...good, offsets: new Map([...good.offsets].map(([value]) => [value, 0])) }
    expect(() => verifyPlan(order, crowded)).toThrow(/overwritten or not there yet/)
  })

  it('refuses a place past the arena', () => {
    expect(() => verifyPlan(order, { ...plan(order), arenaBytes: 0 })).toThrow(/past the arena/)
  })
})
