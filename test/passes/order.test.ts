/** The order of steps: what frees memory comes early. */
import { describe, expect, it } from 'vitest'
import { Node, type Value } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import type { AnyOp } from '../../lib/ops/registry.js'
import { frugalOrder } from '../../lib/passes/order.js'
import { storageOf } from '../../lib/passes/storage.js'
import { RandomStream } from '../../lib/random.js'

const op: AnyOp = {
  name: 'fake',
  code: 65_011,
  inputs: ['x...'],
  attrs: {},
  infer: () => [],
  grad: null,
  reference: null,
  traits: {},
}
const view: AnyOp = { ...op, name: 'view', code: 65_012, traits: { view: true } }
const leaf = fj.zeros([1]).value
const make = (name: string, size: number, ...inputs: Value[]) =>
  new Node(op, inputs, {}, [{ shape: [size], dtype: 'float32' }], name).outputs[0]!
const look = (x: Value) => new Node(view, [x], {}, [x.type]).outputs[0]!
const names = (values: Value[], kept: Value[]) =>
  frugalOrder(
    values.map((v) => v.node),
    kept,
  ).map((node) => node.name)

describe('a step', () => {
  const dy = make('dy', 100, leaf)
  const dx = make('dx', 100, dy)
  const next = make('next', 100, dx)

  it('that frees more than it takes does not wait', () => {
    const dw = make('dw', 99, dy)
    expect(names([dy, dx, next, dw], [next, dw])).toEqual(['dy', 'dx', 'dw', 'next'])
  })
  it('that takes as much as it frees waits', () => {
    const dw = make('dw', 100, dy)
    expect(names([dy, dx, next, dw], [next, dw])).toEqual(['dy', 'dx', 'next', 'dw'])
  })
  it('frees nothing that is kept, or that another step still reads', () => {
    const dw = make('dw', 1, dy)
    expect(names([dy, dx, next, dw], [next, dw, dy])).toEqual(['dy', 'dx', 'next', 'dw'])
    const last = make('last', 100, next, dy)
    expect(names([dy, dx, next, last, dw], [last, dw])).toEqual(['dy', 'dx', 'next', 'last', 'dw'])
  })
  it('frees what a view of it is of', () => {
    const dw = make('dw', 1, look(dy))
    expect(names([dy, dx, next, dw], [next, dw])).toEqual(['dy', 'dx', 'dw', 'next'])
    expect(names([dy, dx, next, dw], [next, dw, look(dy)])).toEqual(['dy', 'dx', 'next', 'dw'])
  })
  it('waits for all that it reads', () => {
    const dw = make('dw', 1, dy, next)
    expect(names([dy, dx, next, dw], [dw])).toEqual(['dy', 'dx', 'next', 'dw'])
  })
})

it('keeps all steps, inputs before users, on random graphs', () => {
  const stream = new RandomStream(7)
  const below = (n: number) => stream.below(n)
  for (let round = 0; round < 200; round++) {
    const values: Value[] = []
    for (let i = 0; i < 30; i++) {
      const inputs =
        values.length === 0 ? [leaf] : Array.from({ length: 1 + below(3) }, () => values[below(values.length)]!)
      values.push(make(`${i}`, 1 + below(1000), ...inputs.map((v) => (below(4) === 0 ? look(v) : v))))
    }
    const kept = values.slice(-3)
    const before = values.map((v) => v.node)
    const after = frugalOrder(before, kept)
    expect(new Set(after)).toEqual(new Set(before))
    const place = new Map(after.map((node, i) => [node, i]))
    for (const node of after) {
      for (const input of node.inputs.map(storageOf)) {
        if (input !== leaf) expect(place.get(input.node)).toBeLessThan(place.get(node)!)
      }
    }
  }
})

it('keeps fewer maps of a chain of convolutions', async () => {
  const images = fj.variable(fj.randn([2, 4, 8, 8]))
  const filters = Array.from({ length: 4 }, () => fj.variable(fj.randn([4, 4, 3, 3])))
  const step = fj.compile(() => {
    const y = filters.reduce((x: fj.Tensor, w) => fj.relu(fj.conv2d(x, w, null, { padding: 1 })), images)
    return fj.grad(fj.sum(y), filters)
  })
  await step()
  const rows = step.explain().split('\n')
  const order = rows.flatMap((row) => row.match(/conv2dGrad(?:Input|Weight)/)?.[0] ?? [])
  step.dispose()
  expect(order).toEqual([...Array(3).fill(['conv2dGradInput', 'conv2dGradWeight']).flat(), 'conv2dGradWeight'])
})
