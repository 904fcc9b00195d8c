/** What follows a kernel and becomes part of it, as text. */
import { describe, expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import { printGraph } from '../../lib/graph/print.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { normalizeBatch } from '../../lib/ops/norm.js'
import { epilogue } from '../../lib/passes/epilogue.js'
import { layout } from '../../lib/passes/layout.js'

const input = (name: string, ...shape: number[]) =>
  new fj.Tensor(makeLeaf({ kind: 'input', name }, { shape, dtype: 'float32' }))
const passed = (...outputs: fj.Tensor[]) => epilogue(layout(new Graph(outputs.map((t) => t.value))))
const text = (...outputs: fj.Tensor[]) => printGraph(passed(...outputs))
/** Operations, leaves left out. */
const operations = (...outputs: fj.Tensor[]) =>
  passed(...outputs)
    .nodes()
    .filter(({ op }) => !op.traits.leaf)
    .map(({ op }) => op.name)

describe('an activation', () => {
  it('becomes part of its only producer', () => {
    const y = fj.relu(fj.linear(input('x', 2, 3), input('w', 4, 3), input('b', 4)))
    expect(text(y)).toContain('matmul(%0, %1, %2) {transposeB=1 activation=1}')
  })

  it('stays behind a result that others use', () => {
    const z = fj.matmul(input('x', 2, 3), input('w', 3, 4))
    expect(text(fj.relu(z), z)).toContain('relu')
  })
})

describe('the gradient of a ReLU', () => {
  const [x, w, d] = [input('x', 2, 3), input('w', 3, 4), input('d', 2, 4)]

  it('becomes part of the product before it, which may become images in between', () => {
    const dx = fj.grad(fj.matmul(fj.relu(x), w), [x], { gradOutputs: [d] })
    expect(operations(...dx)).toEqual(['relu', 'matmul'])
    expect(text(...dx)).toContain('matmul(%0, %1, %3) {transposeB=1 activation=2}')
    const images = input('images', 2, 3, 1, 1)
    const [dimages] = fj.grad(fj.matmul(fj.flatten(fj.relu(images), { startAxis: 1 }), w), [images], {
      gradOutputs: [d],
    })
    expect(operations(dimages!)).toEqual(['relu', 'reshape', 'matmul', 'reshape'])
  })

  it('stays where others read the product, and where its mask is made of it', () => {
    const y = fj.relu(x)
    const [dy, dx] = fj.grad(fj.matmul(y, w), [y, x], { gradOutputs: [d] })
    expect(operations(dy!, dx!)).toEqual(['matmul', 'relu', 'reluGrad'])
    const product = fj.matmul(x, input('square', 3, 3))
    const [masked] = fj.grad(fj.sum(fj.mul(fj.relu(fj.neg(product)), fj.detach(product))), [product])
    expect(operations(masked!)).toContain('reluGrad')
  })
})

describe('the gradient of a cross entropy', () => {
  const logits = input('logits', 4, 3)
  const labels = new fj.Tensor(makeLeaf({ kind: 'input', name: 'labels' }, { shape: [4], dtype: 'int32' }))
  const withGradient = (loss: fj.Tensor) => [loss, fj.grad(loss, [logits])[0]!]

  it('is made with the loss, be it a mean or a sum', () => {
    for (const reduction of ['mean', 'sum'] as const) {
      const both = operations(...withGradient(fj.crossEntropy(logits, labels, { reduction, labelSmoothing: 0.1 })))
      expect(both.filter((name) => name.startsWith('crossEntropy'))).toEqual(['crossEntropyWithGrad'])
    }
    expect(operations(fj.crossEntropy(logits, labels))).toContain('crossEntropy')
  })

  it('is made apart where it needs the loss, or others need what the loss has found', () => {
    const loss = fj.crossEntropy(logits, labels, { reduction: 'none' })
    const focal = withGradient(fj.sum(fj.mul(loss, loss)))
    const weighted = withGradient(fj.crossEntropy(logits, labels, { weight: input('weight', 3) }))
    const [once] = fj.grad(fj.crossEntropy(logits, labels), [logits])
    const twice = fj.grad(fj.sum(fj.square(once!)), [logits])
    for (const outputs of [focal, weighted, [once!, ...twice]]) {
      expect(operations(...outputs)).toEqual(expect.arrayContaining(['crossEntropy', 'crossEntropyGrad']))
    }
  })
})

describe('a residual', () => {
  const [x, r] = [input('x', 5, 3), input('r', 5, 3)]
  const normalize = (x: fj.Tensor) => normalizeBatch(x, input('gamma', 3), input('beta', 3), 1e-5)
  const norm = (x: fj.Tensor) => normalize(x)[0]

  it('is added by the batch norm before it, which then applies the activation', () => {
    expect(text(fj.relu(fj.add(norm(x), r)))).toBe(
      [
        "%0 float32[5,3] = input() 'x'",
        "%1 float32[3] = input() 'gamma'",
        "%2 float32[3] = input() 'beta'",
        "%3 float32[5,3] = input() 'r'",
        '%4 float32[5,3], %5 float32[3], %6 float32[3] = batchNorm(%0, %1, %2, %3) {eps=0.00001 activation=1}',
        'return %4',
      ].join('\n'),
    )
  })

  it('may stand on either side, and be made behind the batch norm', () => {
    expect(operations(fj.relu(fj.add(r, norm(x))))).toEqual(['batchNorm'])
    expect(operations(fj.relu(fj.add(norm(x), fj.exp(r))))).toEqual(['exp', 'batchNorm'])
  })

  it('is added without an activation too, whoever reads the sum', () => {
    const sum = fj.add(norm(x), r)
    expect(operations(sum)).toEqual(['batchNorm'])
    expect(operations(fj.relu(sum), fj.neg(sum))).toEqual(['batchNorm', 'relu', 'neg'])
  })

  it('of images meets the batch norm between transposes', () => {
    const [image, before] = [input('image', 2, 3, 5, 7), input('before', 2, 5, 7, 3)]
    const y = fj.batchNorm(image, { gamma: input('gamma', 3), beta: input('beta', 3), training: true })
    const sum = fj.relu(fj.add(y, fj.transpose(before, [0, 3, 1, 2])))
    expect(operations(sum)).toEqual(['transpose', 'batchNorm', 'transpose'])
  })

  it('may be a batch norm itself', () => {
    const graph = passed(fj.relu(fj.add(norm(x), norm(r))))
    expect(graph.nodes().map(({ op, inputs }) => [op.name, inputs.length])).toEqual(
      expect.arrayContaining([
        ['batchNorm', 3],
        ['batchNorm', 4],
      ]),
    )
    expect(graph.nodes().filter(({ op }) => op.name === 'add' || op.name === 'relu')).toEqual([])
  })

  it('may be what another sum became: a chain of blocks', () => {
    let y = r
    for (let i = 0; i < 3; i++) y = fj.relu(fj.add(norm(fj.tanh(y)), y))
    expect(operations(y)).toEqual(['tanh', 'batchNorm', 'tanh', 'batchNorm', 'tanh', 'batchNorm'])
  })

  it('leaves the statistics to their readers, wherever they stand', () => {
    const [y, mean, variance] = normalize(x)
    const sum = fj.relu(fj.add(y, r))
    expect(operations(sum, mean, fj.neg(variance))).toEqual(['batchNorm', 'neg'])
    expect(operations(fj.neg(mean), variance, sum)).toEqual(['batchNorm', 'neg'])
  })

  it('stays where it needs the statistics of that batch norm', () => {
    const [y, mean] = normalize(x)
    expect(operations(fj.add(y, fj.mul(r, mean)))).toEqual(['batchNorm', 'mul', 'add'])
    const rows = input('rows', 1, 3)
    const [single, average] = normalize(rows)
    expect(operations(fj.add(single, fj.reshape(average, [1, 3])))).toEqual(['batchNorm', 'reshape', 'add'])
    const [first, shift] = normalize(x)
    const sum = fj.add(first, norm(fj.add(r, shift)))
    expect(operations(sum)).toEqual(['batchNorm', 'add', 'batchNorm', 'add'])
  })

  it.each<[string, () => fj.Tensor[]]>([
    [
      'is read by others',
      () => {
        const y = norm(x)
        return [fj.add(y, r), fj.neg(y)]
      },
    ],
    [
      'is given back',
      () => {
        const y = norm(x)
        return [fj.add(y, r), y]
      },
    ],
    [
      'is added to itself',
      () => {
        const y = norm(x)
        return [fj.add(y, y)]
      },
    ],
    ['is activated before', () => [fj.add(fj.relu(norm(x)), r)]],
    ['is broadcast', () => [fj.add(norm(input('row', 1, 3)), r)]],
    ['gets a row', () => [fj.add(norm(x), input('row', 3))]],
  ])('stays where what the batch norm gives %s', (_name, build) => {
    const outputs = build()
    expect(operations(...outputs)).toContain('add')
    const norms = passed(...outputs)
      .nodes()
      .filter(({ op }) => op.name === 'batchNorm')
    expect(norms.map(({ inputs }) => inputs.length)).toEqual([3])
  })

  it('is one: a second one stays', () => {
    expect(operations(fj.relu(fj.add(fj.add(norm(x), r), input('s', 5, 3))))).toEqual(['batchNorm', 'add', 'relu'])
  })

  it('is differentiated before it is folded', () => {
    const [gamma, beta] = [input('gamma', 3), input('beta', 3)]
    const [y] = normalizeBatch(x, gamma, beta, 1e-5)
    const out = fj.relu(fj.add(y, r))
    const gradients = fj.grad([out], [x, r, gamma, beta], { gradOutputs: [input('dy', 5, 3)] })
    expect(operations(out, ...gradients)).toEqual(['batchNorm', 'reluGrad', 'batchNormGrad'])
  })
})

it('a step is explained with what it was given to do', async () => {
  const [norm, first, last] = [new fj.nn.BatchNorm1d(4), new fj.nn.Linear(4, 4), new fj.nn.Linear(4, 3)]
  const conv = new fj.nn.Conv2d(2, 4, 3)
  const step = fj.compile((x: fj.Tensor, image: fj.Tensor) => {
    const block = fj.relu(fj.add(norm.forward(first.forward(x)), x))
    const loss = fj.add(fj.sum(fj.relu(last.forward(block))), fj.sum(fj.square(block)))
    return [fj.relu(conv.forward(image)), ...fj.grad(loss, [norm.weight!, first.weight])]
  })
  await step(fj.randn([6, 4]), fj.randn([1, 2, 5, 5]))
  const text = step.explain()
  for (const operation of [
    'matmul + bias',
    'batchNorm + residual + relu',
    'matmul + bias + relu',
    'conv2d + bias + relu',
  ])
    expect(text).toContain(`  ${operation} {`)
  expect(text).toContain('  batchNormGrad + y {')
  expect(text).not.toContain('activation')
  step.dispose()
})
