/** Fusion, as text before and after. */
import { describe, expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import { printGraph } from '../../lib/graph/print.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { FUSED_MAX_INPUTS, FUSED_MAX_REGISTERS } from '../../lib/ops/fused.js'
import { cse } from '../../lib/passes/cse.js'
import { fuse } from '../../lib/passes/fuse.js'
import { Tensor } from '../../lib/tensor.js'
import { compareWithReference, randomTensor } from '../helpers/compare.js'

const input = (name: string, ...shape: number[]) =>
  new Tensor(makeLeaf({ kind: 'input', name }, { shape, dtype: 'float32' }))
const fused = (...outputs: Tensor[]) => fuse(new Graph(outputs.map((t) => t.value)))
/** Operations of the fused graph, leaves and immediates left out. */
const operations = (...outputs: Tensor[]) =>
  fused(...outputs)
    .nodes()
    .map((node) => node.op.name)
    .filter((name) => name !== 'input' && name !== 'full')

it('makes a chain one pass', () => {
  const x = input('x', 2, 3)
  const graph = new Graph([fj.relu(fj.add(fj.mul(x, x), 1)).value])
  expect(printGraph(graph)).toMatchInlineSnapshot(`
    "%0 float32[2,3] = input() 'x'
    %1 float32[2,3] = mul(%0, %0)
    %2 float32[] = full() {value=1 shape=[]}
    %3 float32[2,3] = add(%1, %2)
    %4 float32[2,3] = relu(%3)
    return %4"
  `)
  expect(printGraph(fuse(graph))).toMatchInlineSnapshot(`
    "%0 float32[2,3] = input() 'x'
    %1 float32[2,3] = fused(%0) {rank=2 shape=[2,3,0,0,0,0,0,0] registers=4 result=2 code=[5,1,1065353216,0,18,2,0,0,16,66051,0,0,48,770,0,0]}
    return %1"
  `)
})

describe('a group', () => {
  const x = input('x', 4, 5)
  it('keeps a value that something else needs', () => {
    const y = fj.mul(x, x)
    expect(operations(fj.add(y, 1), y)).toEqual(['fused', 'fused'])
    expect(operations(fj.sum(y), fj.neg(y))).toEqual(['fused', 'sum', 'fused'])
  })
  it('takes a shared value whose users are all inside', () => {
    const y = fj.neg(x)
    expect(operations(fj.add(fj.mul(y, y), y))).toEqual(['fused'])
  })
  it('loads broadcast operands as they are', () => {
    expect(operations(fj.add(x, input('row', 5)), fj.mul(x, fj.broadcastTo(input('column', 4, 1), [4, 5])))).toEqual([
      'fused',
      'fused',
    ])
  })
  it('computes a single number anew for each element of a small result, not of a large one', () => {
    const mean = (...shape: number[]) => fj.broadcastTo(fj.div(1, input('count')), shape)
    expect(operations(mean(40, 100))).toEqual(['fused'])
    expect(operations(mean(41, 100))).toEqual(['fused', 'fused'])
    expect(operations(fj.mul(input('x', 3), fj.sqrt(input('number', 1))))).toEqual(['fused'])
  })
  it('does not reach over an operation of another kind', () => {
    expect(operations(fj.neg(fj.matmul(fj.neg(x), fj.neg(input('w', 5, 6)))))).toEqual([
      'fused',
      'fused',
      'matmul',
      'fused',
    ])
  })
  it('stays within the limits of inputs and registers', () => {
    const wide = Array.from({ length: 40 }, (_, i) => input(`x${i}`, 8)).reduce((a, b) => fj.add(a, b))
    let long = input('y', 8)
    const first = long
    for (let i = 0; i < 60; i++) long = fj.add(fj.mul(long, first), i)
    for (const root of [wide, long]) {
      const nodes = fused(root)
        .nodes()
        .filter((node) => node.op.name === 'fused')
      expect(nodes.length).toBeGreaterThan(1)
      for (const node of nodes) {
        expect(node.inputs.length).toBeLessThanOrEqual(FUSED_MAX_INPUTS)
        expect(node.attrs.registers).toBeLessThanOrEqual(FUSED_MAX_REGISTERS)
      }
    }
  })
})

it('keeps the register of a number that is read under its broadcast later than by itself', async () => {
  const inputs = [randomTensor([], 1), randomTensor([4], 2), randomTensor([4], 3)]
  const read = (p?: fj.Tensor, x?: fj.Tensor, y?: fj.Tensor) => {
    const number = fj.exp(p!)
    const broadcast = fj.broadcastTo(number, [4])
    return fj.add(broadcast, fj.mul(fj.add(number, x!), y!))
  }
  // Gradients would read the number too, which then is computed apart.
  await compareWithReference(read, inputs, { gradients: false })
})

it('computes the same with many registers, shared values and broadcasts', async () => {
  const inputs = [randomTensor([7, 33], 1), randomTensor([33], 2), randomTensor([7, 1], 3)]
  await compareWithReference((a, b, c) => {
    let y = fj.add(fj.mul(a!, b!), c!)
    for (let i = 0; i < 30; i++) y = fj.add(fj.mul(y, i % 3 === 0 ? b! : 0.5), i % 2 ? c! : a!)
    return [y, fj.relu(fj.sub(y, fj.neg(a!)))]
  }, inputs)
})

it('shows what a micro-program computes where the program is explained', async () => {
  const step = fj.compile((x: fj.Tensor) => ({
    short: fj.relu(fj.add(x, 1)),
    long: fj.tanh(fj.exp(fj.neg(fj.mul(fj.sub(x, 2), 3)))),
  }))
  await step(randomTensor([4, 5], 1))
  expect(step.explain()).toContain('fused {add relu} ')
  expect(step.explain()).toContain('fused {sub mul neg and 2 more} ')
  step.dispose()
})

it('tells attributes apart that JSON would not', () => {
  const graph = new Graph([NaN, Infinity, -Infinity, 0, -0].map((value) => fj.full([2], value).value))
  expect(cse(graph).nodes()).toHaveLength(5)
  const same = new Graph([fj.full([2], 1).value, fj.full([2], 1).value])
  expect(cse(same).nodes()).toHaveLength(1)
})
