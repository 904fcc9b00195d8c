/** Programs that no pass writes are refused before a kernel sees them. */
import { describe, expect, it } from 'vitest'
import { Graph, Node, type Value } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { batchNormOp } from '../../lib/ops/norm.js'
import type { AnyOp } from '../../lib/ops/registry.js'
import { emit } from '../../lib/passes/emit.js'
import { type Plan, plan } from '../../lib/passes/plan.js'
import { schedule } from '../../lib/passes/schedule.js'
import { loadAddon } from '../../lib/runtime/addon.js'

const input = (shape: readonly number[], dtype: fj.DType = 'float32') =>
  makeLeaf({ kind: 'input', name: 'x' }, { shape, dtype })

/** Checks the program of one node, whose operands no shape rule has seen, in memory as `place` has it. */
function check(node: Node, place: (memory: Plan) => Plan = (memory) => memory): void {
  const order = schedule(new Graph(node.outputs))
  loadAddon().checkProgram(emit(order, place(plan(order))).bytes)
}

describe('batchNorm with a residual', () => {
  const vectors = [input([3]), input([3])]
  const made = (residuals: readonly Value[], attrs = { eps: 0, activation: 1 }) => {
    const x = input([4, 2, 3])
    const types = [x, ...vectors].map(({ type }) => type)
    return new Node(batchNormOp as AnyOp, [x, ...vectors, ...residuals], attrs, types)
  }

  it('takes one like x', () => expect(() => check(made([input([4, 2, 3])]))).not.toThrow())

  it.each<[string, Value[], string]>([
    ['of other axes', [input([2, 4, 3])], 'batchNorm: operands differ in shape'],
    ['of fewer axes', [input([8, 3])], 'batchNorm: operands differ in shape'],
    ['of one row', [input([3])], 'batchNorm: operands differ in shape'],
    ['of another dtype', [input([4, 2, 3], 'int32')], 'batchNorm: operand has the wrong dtype'],
    ['of narrower elements', [input([4, 2, 3], 'bfloat16')], 'batchNorm: operand has the wrong dtype'],
    ['beside a second one', [input([4, 2, 3]), input([4, 2, 3])], 'batchNorm: wrong number of inputs'],
  ])('refuses one %s', (_name, residuals, message) => {
    expect(() => check(made(residuals))).toThrow(message)
  })

  it('refuses an activation that does not exist', () => {
    expect(() => check(made([input([4, 2, 3])], { eps: 0, activation: 2 }))).toThrow('batchNorm: unknown activation')
  })

  it('writes over all of it, not over a part', () => {
    const residual = fj.transpose(new fj.Tensor(input([2, 4, 3])), [1, 0, 2]).value
    const node = made([residual])
    const at = (offset: number) => (memory: Plan) => {
      const offsets = new Map(memory.offsets).set(residual, 0).set(node.outputs[0]!, offset)
      node.outputs.slice(1).forEach((output, i) => {
        offsets.set(output, 512 + 64 * i)
      })
      return { ...memory, offsets, arenaBytes: 1024 }
    }
    expect(() => check(node, at(0))).not.toThrow()
    expect(() => check(node, at(128))).not.toThrow()
    expect(() => check(node, at(64))).toThrow('an instruction writes over one of its operands')
  })
})
