/** What a program does to variables: order, simultaneous assignment, copies and updates in place. */
import { describe, expect, it } from 'vitest'
import { Graph, Node, type Value } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import type { AnyOp } from '../../lib/ops/registry.js'
import { schedule } from '../../lib/passes/schedule.js'
import { DEVICES } from '../helpers/device.js'

const variable = (value: number, name: string) => fj.variable(fj.tensor([value]), { name })
const x = fj.zeros([1])

describe.each(DEVICES)('on %s', (device) => {
  const run = async (variables: fj.Variable[], body: () => fj.Tensor | undefined) => {
    const f = fj.compile((_: fj.Tensor) => body() ?? null, { device })
    const result = await f(x)
    const after: number[] = []
    for (const v of variables) after.push(await v.item())
    return { result: result instanceof fj.Tensor ? await result.item() : undefined, after }
  }

  it('assigns together: a = b, b = a swaps', async () => {
    const [a, b] = [variable(1, 'a'), variable(2, 'b')]
    expect(
      await run([a, b], () => {
        a.assign(b)
        b.assign(a)
        return undefined
      }),
    ).toEqual({ result: undefined, after: [2, 1] })
  })

  it('returns the value from before the assignment, also through a view', async () => {
    const a = variable(1, 'a')
    const body = () => {
      a.assign(fj.add(a, 10))
      return fj.reshape(a, [1, 1])
    }
    expect(await run([a], body)).toEqual({ result: 1, after: [11] })
    expect(await run([a], body)).toEqual({ result: 11, after: [21] })
  })

  it('assigns one value to two variables, and returns it', async () => {
    const [a, b] = [variable(1, 'a'), variable(2, 'b')]
    expect(
      await run([a, b], () => {
        const total = fj.add(a, b)
        a.assign(total)
        b.assign(total)
        return total
      }),
    ).toEqual({ result: 3, after: [3, 3] })
  })

  it('assigns a constant, an argument, a view of another variable, and itself', async () => {
    const [a, b, c, d] = [variable(1, 'a'), variable(2, 'b'), variable(3, 'c'), variable(4, 'd')]
    const f = fj.compile(
      (value: fj.Tensor) => {
        a.assign(fj.tensor([7]))
        b.assign(value)
        c.assign(fj.reshape(fj.reshape(d, [1, 1]), [1]))
        d.assign(d)
        return null
      },
      { device },
    )
    await f(fj.tensor([9]))
    expect([await a.item(), await b.item(), await c.item(), await d.item()]).toEqual([7, 9, 4, 4])
  })

  it('counts the last of several assignments', async () => {
    const a = variable(1, 'a')
    expect(
      await run([a], () => {
        a.assign(fj.tensor([5]))
        a.assign(fj.add(a, 1))
        return undefined
      }),
    ).toEqual({ result: undefined, after: [2] })
  })
})

describe('updates in place', () => {
  const op: AnyOp = {
    name: 'update',
    code: 65001,
    inputs: ['parameter', 'gradient'],
    attrs: {},
    infer: () => [],
    grad: null,
    reference: null,
    traits: { inplace: [[0, 0]] },
  }
  const update = (parameter: Value, gradient: Value) =>
    new Node(op, [parameter, gradient], {}, [parameter.type]).outputs[0]!
  const names = (graph: Graph) => {
    const { steps, commitIndex } = schedule(graph)
    const text = steps.map(
      ({ node, outputs }) => `${node.op.name}${'node' in outputs[0]! ? '' : ` ${outputs[0]!.name}`}`,
    )
    return { pure: text.slice(0, commitIndex), commit: text.slice(commitIndex) }
  }
  const [a, b] = [variable(1, 'a'), variable(2, 'b')]
  const gradient = fj.transpose(fj.reshape(fj.sum(b), [1, 1])).value

  it('run in the commit phase, on the variable', () => {
    const value = update(a.value, fj.sum(b, { keepDims: true }).value)
    expect(names(new Graph([], [{ variable: a.state, value }]))).toEqual({ pure: ['sum'], commit: ['update a'] })
  })
  it('are computed apart where another update reads the variable', () => {
    const assignments = [
      { variable: a.state, value: update(a.value, b.value) },
      { variable: b.state, value: update(b.value, gradient) },
    ]
    const { pure, commit } = names(new Graph([], assignments))
    expect(pure).toContain('update')
    expect(commit).toEqual(['update b', 'copy a'])
  })
  it('are computed apart where the result is used elsewhere', () => {
    const value = update(a.value, b.value)
    const { pure, commit } = names(new Graph([value], [{ variable: a.state, value }]))
    expect(pure).toEqual(['update'])
    expect(commit).toEqual(['copy a'])
  })
  it('are computed apart where the variable is read as another operand too', () => {
    const { pure, commit } = names(new Graph([], [{ variable: a.state, value: update(a.value, a.value) }]))
    expect(pure).toEqual(['update'])
    expect(commit).toEqual(['copy a'])
  })
  describe('that share their first input', () => {
    const joined: AnyOp = {
      ...op,
      name: 'joined',
      code: 65002,
      inputs: ['rate', 'parameter', 'gradient'],
      traits: { joins: { shared: 1 }, inplace: [[0, 1]] },
    }
    const [first, second] = [fj.tensor([1]).value, fj.tensor([2]).value]
    const step = (rate: Value, parameter: Value, attrs = {}) =>
      new Node(joined, [rate, parameter, gradient], attrs, [parameter.type]).outputs[0]!
    const apart = fj.variable(fj.tensor([0]))

    it('run as one step, the shared input first', () => {
      const updates = [a, apart].map((x) => ({ variable: x.state, value: step(first, x.value) }))
      const { steps, commitIndex } = schedule(new Graph([], updates))
      const [only, ...rest] = steps.slice(commitIndex)
      expect(rest).toEqual([])
      expect(only!.inputs).toEqual([first, a.value, gradient, apart.value, gradient])
      expect(only!.outputs).toEqual([a.state, apart.state])
    })
    it('run apart where it or an attribute differs', () => {
      for (const other of [step(second, apart.value), step(first, apart.value, { decay: 1 })]) {
        const updates = [
          { variable: a.state, value: step(first, a.value) },
          { variable: apart.state, value: other },
        ]
        const { steps, commitIndex } = schedule(new Graph([], updates))
        expect(steps.slice(commitIndex).map((s) => s.outputs)).toEqual([[a.state], [apart.state]])
      }
    })
  })
  describe('of elementwise steps', () => {
    const one = fj.variable(fj.zeros([1, 2]), { name: 'one' })
    const count = fj.variable(fj.tensor([0]), { name: 'count' })
    const assigned = (...pairs: [fj.Variable, fj.Tensor][]) =>
      names(
        new Graph(
          [],
          pairs.map(([v, { value }]) => ({ variable: v.state, value })),
        ),
      )

    it('run on the variable, which other steps read before', () => {
      const { pure, commit } = assigned([one, fj.add(one, fj.sum(one))])
      expect({ pure, commit }).toEqual({ pure: ['sum'], commit: ['add one'] })
    })
    it('come behind the updates that read the variable', () => {
      const graph = new Graph(
        [],
        [
          { variable: count.state, value: fj.add(count, 1).value },
          { variable: a.state, value: update(a.value, count.value) },
        ],
      )
      expect(names(graph).commit).toEqual(['update a', 'add count'])
    })
    it('are computed apart where they read what an update writes', () => {
      const graph = new Graph(
        [],
        [
          { variable: a.state, value: update(a.value, b.value) },
          { variable: count.state, value: fj.add(count, a).value },
        ],
      )
      expect(names(graph)).toEqual({ pure: ['add'], commit: ['update a', 'copy count'] })
    })
    it('are computed apart where each reads what the other writes', () => {
      const [x, y] = ['x', 'y'].map((name) => fj.variable(fj.tensor([1]), { name }))
      const { pure, commit } = assigned([x!, fj.add(x!, y!)], [y!, fj.sub(x!, y!)])
      expect(pure).toEqual(['sub'])
      expect(commit).toEqual(['add x', 'copy y'])
    })
  })
  it('of an assigned variable that is returned: the old value is saved first', () => {
    const value = update(a.value, b.value)
    const { pure, commit } = names(new Graph([a.value], [{ variable: a.state, value }]))
    expect(pure).toEqual(['copy'])
    expect(commit).toEqual(['update a'])
  })
})
