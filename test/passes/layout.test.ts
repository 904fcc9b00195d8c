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

  describe('moves weights in place of flattened images', () => {
    const flat = (x: fj.Tensor) => fj.flatten(fj.transpose(x, NCHW), { startAxis: 1 })
    const images = (rows: fj.Tensor) => fj.transpose(fj.reshape(rows, [-1, 3, 4, 5]), NHWC)
    type Products = [string, (x: fj.Tensor, w: fj.Tensor, b: fj.Tensor) => fj.Tensor, readonly number[]]
    const products: Products[] = [
      ['x wᵀ', (x, w) => fj.linear(flat(x), w), [7, 60]],
      ['x w', (x, w) => fj.matmul(flat(x), w), [60, 7]],
      ['w xᵀ', (x, w) => fj.matmul(w, flat(x), { transposeB: true }), [7, 60]],
      ['wᵀ xᵀ', (x, w) => fj.matmul(w, flat(x), { transposeA: true, transposeB: true }), [60, 7]],
      ['xᵀ w', (x, w) => fj.matmul(flat(x), w, { transposeA: true }), [33, 7]],
      ['w x', (x, w) => fj.matmul(w, flat(x)), [7, 33]],
      ['images of w u + b', (x, w, b) => images(fj.linear(fj.matmul(flat(x), w), fj.ones([60, 7]), b)), [60, 7]],
      ['images of x u', (x, w) => images(fj.matmul(fj.matmul(flat(x), w), fj.ones([7, 60]))), [60, 7]],
    ]
    const shape = [33, 4, 5, 3]

    it.each(products)('%s', async (_name, product, weight) => {
      const graph = (pass: (graph: Graph) => Graph) => text(pass, product(input(shape), input(weight), input([60])))
      expect(graph((g) => g)).toMatch(/%\d+ float32\[33,.*transpose/)
      expect(graph((g) => layout(g, { branches: true }))).not.toMatch(/%\d+ float32\[33,\d+,.*transpose/)
      await compareWithReference(
        (x, w, b) => product(x!, w!, b!),
        [randomTensor(shape, 1), randomTensor(weight, 2), randomTensor([60], 3)],
      )
    })

    it('where these are the smaller part, or beside all else', () => {
      const product = (outputs: number) => fj.linear(flat(input(shape)), input([outputs, 60], 'w'))
      const transposed = (outputs: number, branches: boolean) =>
        /(float32\[.*\]) = transpose/.exec(text((graph) => layout(graph, { branches }), product(outputs)))![1]
      expect(transposed(16, false)).toBe('float32[16,4,5,3]')
      expect(transposed(17, false)).toBe('float32[33,3,4,5]')
      expect(transposed(4369, true)).toBe('float32[4369,4,5,3]')
      expect(transposed(4370, true)).toBe('float32[33,3,4,5]')
    })

    it('but not where rows are moved, or others read the product', () => {
      const x = input([33, 4, 5, 3])
      const rows = fj.reshape(fj.transpose(x, [1, 0, 2, 3]), [4, 495])
      expect(text(layout, fj.matmul(rows, input([495, 2])))).toContain('float32[4,33,5,3] = transpose')
      const y = fj.matmul(input([33, 2]), input([2, 60]))
      expect(text(layout, images(y), y)).toContain('float32[33,4,5,3] = transpose')
    })

    it('but not where features have as many axes as a tensor may have', async () => {
      const shape = [3, 1, 2, 1, 1, 1, 1, 2]
      const swap = (x: fj.Tensor) => fj.transpose(x, [7, 1, 2, 3, 4, 5, 6, 0])
      const rows = (x: fj.Tensor) => fj.reshape(swap(x), [1, 12])
      const there = (x: fj.Tensor, w: fj.Tensor) => fj.matmul(rows(x), w)
      const back = (x: fj.Tensor, w: fj.Tensor) => swap(fj.reshape(fj.matmul(x, w, { transposeB: true }), shape))
      for (const [product, x, w] of [
        [there, shape, [12, 5]],
        [back, [1, 5], [12, 5]],
      ] as const) {
        expect(text((graph) => layout(graph, { branches: true }), product(input(x), input(w)))).toContain('transpose')
        await compareWithReference((x, w) => product(x!, w!), [randomTensor(x, 1), randomTensor(w, 2)])
      }
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

  it('sums one number, unless no int32 holds that', () => {
    const total = (x: fj.Tensor) => text(fold, fj.sum(x, { axes: 1 }))
    expect(total(fj.full([2, 5], 3))).toContain('full() {value=15')
    expect(total(fj.full([2, 5], 1 << 29, { dtype: 'int32' }))).toContain('sum')
    expect(total(fj.full([2, 0], 3))).toContain('sum')
  })

  it('keeps an identity that broadcasts', () => {
    expect(text(fold, fj.add(input([3]), fj.zeros([2, 3])))).toContain('add')
  })
})

it('cse shares equal nodes', () => {
  const x = input([2, 3])
  expect(text(cse, fj.add(fj.relu(x), fj.relu(x)))).toContain('add(%1, %1)')
})
