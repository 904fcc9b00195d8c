/** Steps that run as one: micro-programs of many results, against the reference and against each apart. */
import { describe, expect, it } from 'vitest'
import { Graph, type Value } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { emit } from '../../lib/passes/emit.js'
import { fuse } from '../../lib/passes/fuse.js'
import { plan } from '../../lib/passes/plan.js'
import { schedule } from '../../lib/passes/schedule.js'
import { loadAddon } from '../../lib/runtime/addon.js'
import { DEVICES, TEST_DEVICE } from '../helpers/device.js'

const rows = (step: { explain(): string }) =>
  step
    .explain()
    .split('\n')
    .filter((row) => /^\d+ +\w+ /.test(row) && !row.includes(' steps, '))

describe.each(DEVICES)('on %s', (device) => {
  it('moves running means of any size at once, in place', async () => {
    const sizes = [[1], [3], [4, 5], [0], [1025], [2, 3000], []]
    const means = sizes.map((shape, i) => fj.variable(fj.randn(shape), { name: `mean${i}` }))
    const rate = fj.variable(fj.tensor(0.25), { name: 'rate' })
    const before = await Promise.all(means.map((v) => v.data()))
    const batches = sizes.map((shape) => fj.variable(fj.randn(shape)))
    const step = fj.compile(
      () => {
        means.forEach((mean, i) => {
          mean.assign(fj.add(mean, fj.mul(fj.sub(batches[i]!, mean), rate)))
        })
        return null
      },
      { device },
    )
    await step()
    for (const [i, mean] of means.entries()) {
      const [after, batch] = [await mean.data(), await batches[i]!.data()]
      const expected = [...before[i]!].map((x, k) => Math.fround(x + (batch[k]! - x) * 0.25))
      expect([...after].map((x, k) => Math.abs(x - expected[k]!)).reduce((a, b) => Math.max(a, b), 0)).toBeLessThan(
        1e-6,
      )
    }
    if (device !== 'reference') {
      // Of results of one element the rate is no single element for all.
      expect(rows(step).map((row) => row.match(/\d+ joined/)?.[0])).toEqual(['2 joined', '5 joined'])
    }
    step.dispose()
  })

  it('keeps apart what differs in a number, a dtype or how operands are read', async () => {
    const make = (value: number, dtype: fj.DType = 'float32') => fj.variable(fj.full([2, 3], value, { dtype }))
    const [a, b, c, d] = [make(1), make(2), make(3), make(4, 'int32')]
    const row = fj.variable(fj.tensor([1, 2, 3]))
    const step = fj.compile(
      () => {
        a.assign(fj.add(a, 1))
        b.assign(fj.add(b, 2))
        c.assign(fj.add(c, row))
        d.assign(fj.add(d, 1))
        return null
      },
      { device },
    )
    await step()
    const values = await Promise.all([a, b, c, d].map(async (v) => [...(await v.data())]))
    expect(values).toEqual([Array(6).fill(2), Array(6).fill(4), [4, 5, 6, 4, 5, 6], Array(6).fill(5)])
    if (device !== 'reference') expect(rows(step)).toHaveLength(4)
    step.dispose()
  })

  it('joins more than the arguments of one kernel hold', async () => {
    const counts = Array.from({ length: 300 }, (_, i) => fj.variable(fj.full([i % 7], i, { dtype: 'int32' })))
    const step = fj.compile(
      () => {
        for (const count of counts) count.assign(fj.add(count, 1))
        return null
      },
      { device },
    )
    await step()
    await step()
    for (const [i, count] of counts.entries()) expect([...(await count.data())]).toEqual(Array(i % 7).fill(i + 2))
    if (device !== 'reference') expect(rows(step)).toHaveLength(2) // at most 256
    step.dispose()
  })

  it('casts what will be read together at once, what is read only once where it is read', async () => {
    const weights = [8, 16, 24].map((n) => fj.variable(fj.randn([n])))
    const step = fj.compile(
      () => {
        const half = weights.map((w) => fj.cast(w, 'float16'))
        const first = half.map((h) => fj.sum(fj.cast(h, 'float32'))).reduce((a, b) => fj.add(a, b))
        return { first, half }
      },
      { device },
    )
    const { half } = await step()
    for (const [i, w] of weights.entries()) {
      const exact = await fj.cast(w, 'float16').data()
      expect([...(await half[i]!.data())]).toEqual([...exact])
    }
    if (device !== 'reference') expect(rows(step).filter((row) => row.includes('3 joined'))).toHaveLength(1)
    step.dispose()
  })
})

it('moves the running statistics of batch norms in a few steps', async () => {
  const layers = [4, 8, 12].map((c) => new fj.nn.BatchNorm2d(c))
  const maps = layers.map(({ numFeatures }) => fj.randn([2, numFeatures, 3, 3]))
  const step = fj.compile((...x: fj.Tensor[]) => layers.map((layer, i) => fj.sum(layer.forward(x[i]!))), {
    device: TEST_DEVICE,
  })
  await step(...maps)
  const text = step.explain()
  expect(text.match(/\d+ joined/g)).toEqual(['3 joined', '3 joined', '3 joined'])
  expect(text).not.toContain(' copy ')
  for (const layer of layers) expect(await layer.numBatchesTracked!.item()).toBe(1)
  step.dispose()
})

describe('a program that joins', () => {
  const [a, b] = [fj.variable(fj.zeros([2, 3]), { name: 'a' }), fj.variable(fj.zeros([4]), { name: 'b' })]
  const counts = fj.variable(fj.zeros([4], { dtype: 'int32' }))
  const row = fj.variable(fj.zeros([3]))
  const { steps } = schedule(
    fuse(
      new Graph(
        [],
        [a, b].map((v) => ({ variable: v.state, value: fj.add(v, fj.mul(v, 2)).value })),
      ),
    ),
  )
  /** The one step, with other operands. */
  const check = (inputs: readonly Value[], outputs = steps[0]!.outputs) => {
    const order = { steps: [{ node: steps[0]!.node, inputs, outputs }], commitIndex: 0, outputs: [] }
    loadAddon().checkProgram(emit(order, plan(order)).bytes)
  }

  it('is taken with each result over its own operand', () => {
    expect(steps).toHaveLength(1)
    expect(() => check([a.value, b.value])).not.toThrow()
  })
  it.each([
    ["over another's operand", [b, a], 'an instruction writes over one of its operands'],
    ['operands that do not divide among the results', [a, b, row], 'operands are not those of whole micro-programs'],
    ['operands of another dtype than the first', [a, counts], 'joined micro-programs differ in a dtype'],
    ['operands that are broadcast', [row, b], 'joined micro-programs broadcast nothing but single elements'],
    ['operands of another shape', [a, row], 'operand does not broadcast'],
  ])('is refused with %s', (_name, inputs, message) => {
    expect(() => check(inputs.map((v) => v.value))).toThrow(message)
  })
})
