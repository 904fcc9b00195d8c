import { describe, expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import { printGraph } from '../../lib/graph/print.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { cse } from '../../lib/passes/cse.js'
import { fold } from '../../lib/passes/fold.js'
import { layout } from '../../lib/passes/layout.js'
import { compareWithReference, randomTensor } from '../helpers/compare.js'

function input(shape: readonly number[], name = 'x'): fj.Tensor {
  return new fj.Tensor(makeLeaf({ kind: 'input', name }, { shape, dtype: 'float32' }))
}

function text(pass: (graph: Graph) => Graph, ...outputs: fj.Tensor[]): string {
  return printGraph(pass(new Graph(outputs.map((t) => t.value))))
}

const NCHW = [0, 3, 1, 2]
const NHWC = [0, 2, 3, 1]

describe('layout', () => {
  it('cancels transposes that meet through elementwise operations', () => {
    const x = input([2, 4, 5, 3])
    const scale = input([3, 1, 1], 'scale')
    const y = fj.relu(fj.mul(fj.transpose(x, NCHW), scale))
    expect(text(layout, fj.transpose(y, NHWC))).toBe(
      [
        "%0 float32[2,4,5,3] = input() 'x'",
        "%1 float32[3,1,1] = input() 'scale'",
        '%2 float32[1,1,1,3] = reshape(%1) {shape=[1,1,1,3]}',
        '%3 float32[2,4,5,3] = mul(%0, %2)',
        '%4 float32[2,4,5,3] = relu(%3)',
        'return %4',
      ].join('\n'),
    )
  })

  it('sinks through residual additions but not where one operand would have to be moved', () => {
    const a = input([2, 4, 5, 3], 'a')
    const b = input([2, 4, 5, 3], 'b')
    const sum = fj.add(fj.transpose(a, NCHW), fj.transpose(b, NCHW))
    expect(text(layout, fj.transpose(sum, NHWC))).not.toContain('transpose')
    const mixed = fj.add(fj.transpose(a, NCHW), input([2, 3, 4, 5], 'c'))
    expect(text(layout, mixed)).toBe(text((g) => g, mixed))
  })

  describe('sinks through parts', () => {
    type Build = (x: fj.Tensor, y: fj.Tensor) => fj.Tensor
    const cases: [string, Build][] = [
      ['concat', (x, y) => fj.concat([x, y], { axis: 1 })],
      ['slice', (_, y) => fj.slice(y, { starts: [0, 1, -1, 2], ends: [2, 5, -6, 5], steps: [1, 2, -1, 1] })],
      [
        'pad',
        (x) =>
          fj.pad(x, {
            pads: [
              [0, 1],
              [1, 0],
              [2, 0],
              [0, 3],
            ],
            value: 7,
          }),
      ],
      ['split', (_, y) => fj.split(y, 3, { axis: 1 })[1]!],
    ]
    const parts = (build: Build) => (a: fj.Tensor, b: fj.Tensor) =>
      fj.transpose(build(fj.transpose(a, NCHW), fj.transpose(b, NCHW)), NHWC)

    it.each(cases)('%s', (_name, build) => {
      expect(text(layout, parts(build)(input([2, 4, 5, 3], 'a'), input([2, 4, 5, 6], 'b')))).not.toContain('transpose')
    })
    it.each(cases)('%s: the same numbers', async (_name, build) => {
      await compareWithReference(parts(build), [randomTensor([2, 4, 5, 3], 1), randomTensor([2, 4, 5, 6], 2)])
    })
    it('but not where one operand would have to be moved', () => {
      const x = fj.transpose(input([2, 4, 5, 3], 'a'), NCHW)
      const mixed = fj.concat([x, input([2, 3, 4, 5], 'c')], { axis: 1 })
      expect(text(layout, mixed)).toBe(text((g) => g, mixed))
    })
  })

  it('reduces before it transposes', () => {
    const x = input([2, 4, 5, 3])
    expect(text(layout, fj.sum(fj.transpose(x, NCHW), { axes: [0, 2, 3] }))).not.toContain('transpose')
  })

  it('turns transposes of single-channel images into reshapes', () => {
    expect(text(layout, fj.transpose(input([2, 1, 4, 5]), NHWC))).toContain('reshape')
  })
})

describe('fold', () => {
  it('computes with known numbers and drops neutral operands', () => {
    const x = input([2, 3])
    expect(text(fold, fj.add(fj.mul(x, fj.div(fj.full([], 2), 2)), 0))).toBe("%0 float32[2,3] = input() 'x'\nreturn %0")
  })

  it('keeps an identity that broadcasts', () => {
    expect(text(fold, fj.add(input([3]), fj.zeros([2, 3])))).toContain('add')
  })
})

it('cse shares equal nodes', () => {
  const x = input([2, 3])
  expect(text(cse, fj.add(fj.relu(x), fj.relu(x)))).toContain('add(%1, %1)')
})
