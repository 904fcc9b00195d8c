/** What is of the parameters alone: absorbed by convolutions, computed once, again when a parameter was written. */
import { describe, expect, it } from 'vitest'
import { Graph, type Node } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { conv2dOp } from '../../lib/ops/conv.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { makeNode } from '../../lib/ops/registry.js'
import { absorb } from '../../lib/passes/absorb.js'
import { cse } from '../../lib/passes/cse.js'
import { hoist } from '../../lib/passes/hoist.js'
import { layout } from '../../lib/passes/layout.js'
import { Tensor } from '../../lib/tensor.js'
import { expectClose, randomTensor } from '../helpers/compare.js'
import { TEST_DEVICE } from '../helpers/device.js'

const input = (...shape: number[]) => new Tensor(makeLeaf({ kind: 'input', name: 'x' }, { shape, dtype: 'float32' }))
const variable = (shape: number[], seed: number) => fj.variable(randomTensor(shape, seed))
const names = (nodes: readonly Node[]) => nodes.filter(({ source }) => !source).map(({ op }) => op.name)
const lowered = (...outputs: Tensor[]) => hoist(absorb(cse(layout(new Graph(outputs.map((y) => y.value))))))

/** conv → batch norm in evaluation, with statistics that are not trivial. */
async function block(channels: number, features: number, options: { groups?: number; bias?: boolean } = {}) {
  const conv = new fj.nn.Conv2d(channels, features, 3, { padding: 1, ...options })
  const norm = new fj.nn.BatchNorm2d(features)
  await norm.runningMean!.assign(randomTensor([features], 11))
  await norm.runningVar!.assign(randomTensor([features], 12).abs().add(0.3))
  await norm.weight!.assign(randomTensor([features], 13))
  await norm.bias!.assign(randomTensor([features], 14))
  return new fj.nn.Sequential(conv, norm, new fj.nn.ReLU()).eval()
}

describe('hoist', () => {
  it('leaves a convolution of a convolution and its batch norm', async () => {
    const net = await block(3, 5)
    const { graph, prepare } = lowered(net.forward(input(2, 3, 7, 7)))
    expect(names(graph.nodes())).toEqual(['transpose', 'conv2d', 'relu', 'transpose'])
    expect(prepare!.assignments.map(({ variable }) => variable.type.shape)).toEqual([[3, 3, 3, 5], [5]])
  })

  it('leaves alone what is written, what is read twice, what differs from pixel to pixel', () => {
    const [w, s, t] = [variable([4, 3, 1, 1], 1), variable([4, 1, 1], 2), variable([4, 5, 5], 3)]
    const y = fj.conv2d(input(2, 3, 5, 5), w)
    const kept = (graph: Graph) =>
      names(absorb(cse(layout(graph))).nodes()).filter((op) => op === 'mul' || op === 'add')
    expect(kept(new Graph([fj.mul(y, s).value]))).toEqual(['mul']) // of the filter
    const written = [{ variable: s.value.node.source as never, value: fj.mul(s, 2).value }]
    const { graph } = hoist(new Graph([fj.mul(y, fj.exp(s)).value], written))
    expect(names(graph.nodes())).toContain('exp')
    expect(
      absorb(new Graph([y.value, fj.mul(y, s).value]))
        .nodes()
        .at(-1)!.op.name,
    ).toBe('mul')
    expect(kept(new Graph([fj.add(y, t).value]))).toEqual(['add'])
    expect(
      absorb(cse(layout(new Graph([fj.add(y, t).value]))))
        .nodes()
        .find(({ op }) => op.name === 'conv2d')!.inputs,
    ).toHaveLength(2)
  })

  it('lets a product have more axes than the maps', () => {
    const conv = new Tensor(
      makeNode(conv2dOp, [input(2, 5, 5, 3).value, variable([1, 1, 3, 4], 1).value], {
        stride: [1, 1],
        padding: [0, 0, 0, 0],
        dilation: [1, 1],
        groups: 1,
        activation: 0,
      }).outputs[0]!,
    )
    const y = fj.mul(conv, variable([1, 1, 1, 1, 4], 2))
    expect(absorb(new Graph([y.value])).outputs[0]!.shape).toEqual([1, 2, 5, 5, 4])
  })

  it('takes no more memory than the parameters do, and nothing that is free', () => {
    const w = variable([1, 3], 1)
    const x = input(100, 3)
    expect(
      hoist(new Graph([fj.mul(x, fj.broadcastTo(fj.exp(w), [100, 3])).value])).prepare!.assignments[0]!.variable.type
        .shape,
    ).toEqual([1, 3])
    expect(hoist(new Graph([fj.mul(x, fj.reshape(w, [3])).value])).prepare).toBeNull()
    expect(hoist(new Graph([fj.exp(w).value])).prepare).toBeNull()
  })
})

describe('programs', () => {
  it.each([{}, { groups: 3 }, { bias: false }])(
    'compute batch norm in the convolution before it: %o',
    async (options) => {
      const net = await block(3, 6, options)
      const step = fj.compile((x: Tensor) => net.forward(x), { device: TEST_DEVICE })
      const reference = fj.compile((x: Tensor) => net.forward(x), { device: 'reference' })
      for (const batch of [1, 3]) {
        const x = randomTensor([batch, 3, 9, 7], batch)
        const y = await (await step(x)).data()
        const [steps] = step.explain().split('prepared of')
        expect(steps).not.toMatch(/fused/)
        expect(step.explain()).not.toMatch(/^\d+ +copy /m) // what is prepared is written where it stays
        expectClose(y, await (await reference(x)).data(), `batch ${batch}`, { rtol: 1e-5 })
      }
      for (const program of [step, reference]) program.dispose()
    },
  )

  it('follow every way in which a parameter is written', async () => {
    const net = await block(3, 5)
    const x = randomTensor([2, 3, 8, 8], 1)
    const step = fj.compile((x: Tensor) => net.forward(x), { device: TEST_DEVICE })
    // Read outside of a compiled function nothing is computed beforehand.
    const seen: number[] = []
    const check = async () => {
      const y = await (await step(x)).data()
      expectClose(y, await net.forward(x).data(), `after ${seen.length} writes`, { rtol: 1e-5 })
      seen.push(Array.from(y).reduce((sum, value) => sum + value, 0))
    }
    await check()
    await net.parameters()[2]!.assign(randomTensor([5], 21))
    await check()
    const optimizer = new fj.optim.SGD(net.parameters(), { lr: 0.1 })
    const train = fj.compile(
      (x: Tensor) => {
        optimizer.minimize(fj.sum(fj.square(net.forward(x))))
        return undefined
      },
      { device: TEST_DEVICE },
    )
    for (let i = 0; i < 3; i++) {
      await train(x)
      await check()
    }
    const state = await (await block(3, 5)).stateDict()
    await net.loadStateDict(state)
    await check()
    expect(new Set(seen).size).toBe(seen.length)
    step.dispose()
    train.dispose()
  })

  it('see the parameters as they were when the run began, however many are in flight', async () => {
    const net = await block(2, 3)
    const x = randomTensor([1, 2, 5, 5], 1)
    const scale = net.parameters()[2]!
    const grow = fj.compile(
      () => {
        void scale.assign(fj.mul(scale, 2))
        return undefined
      },
      { device: TEST_DEVICE },
    )
    const step = fj.compile((x: Tensor) => net.forward(x), { device: TEST_DEVICE })
    const first = await (await step(x)).data()
    const runs: Promise<Tensor>[] = []
    for (let i = 0; i < 6; i++) {
      void grow()
      runs.push(step(x), step(x))
    }
    const results = await Promise.all((await Promise.all(runs)).map((y) => y.data()))
    expect(first.some((value) => value > 0)).toBe(true)
    for (let i = 0; i < 12; i += 2) expect(results[i]).toEqual(results[i + 1])
    for (let i = 2; i < 12; i += 2) expect(results[i]).not.toEqual(results[i - 2])
    expect(await (await step(x)).data()).toEqual(results.at(-1))
    grow.dispose()
    step.dispose()
  })
})
