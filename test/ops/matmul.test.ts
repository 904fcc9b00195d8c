import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { checkGolden, compareWithReference, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES, usableVariants } from '../helpers/device.js'

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('matmul'))('$name', (test) =>
    checkGolden(test, ({ a, b }, attrs) => fj.matmul(a!, b!, attrs), device),
  )
  it.each(goldenCases('linear'))('$name', (test) =>
    checkGolden(test, ({ x, weight, bias }) => fj.linear(x!, weight!, bias), device),
  )
})

const SIZES = [
  [1, 1, 1],
  [7, 31, 33],
  [127, 1, 7],
  [1, 127, 31],
  [64, 70, 10],
] as const

const VARIANTS = await usableVariants('matmul', (options) => {
  const [a, b] = [fj.tensor([[1, 2]]), fj.tensor([[3], [4]])]
  return fj.compile(() => fj.matmul(a, b), options)()
})

/**
 * Tensor cores round operands to 10 bits of fraction, 2^-11 of each: a sum of 600 products of normal numbers is off by
 * 600^(1/2) 2^(1/2) 2^-11, about 0.017, times what a normal number can be.
 */
const tolerance = (variant: string) => (variant === 'tensorcore' ? { rtol: 5e-3, atol: 0.05 } : {})

describe.each(VARIANTS)('variant %s', (matmul) => {
  it.each(SIZES)('(%i x %i) x (.. x %i), all transposes', async (m, k, n) => {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const a = randomTensor(transposeA ? [k, m] : [m, k], 1)
        const b = randomTensor(transposeB ? [n, k] : [k, n], 2)
        await compareWithReference((x, y) => fj.matmul(x!, y!, { transposeA, transposeB }), [a, b], {
          algorithms: { matmul },
          ...tolerance(matmul),
        })
      }
    }
  })
})

// Vectors along the depth: few columns (2 to 11 with AVX-512), many rows, a depth that no vector divides.
it.each([2, 3, 5, 7, 8, 10, 11, 12])('few columns: %i', async (n) => {
  for (const [m, k] of [
    [32, 256],
    [67, 301],
  ] as const) {
    for (const transposeB of [false, true]) {
      const operands = [randomTensor([m, k], 1), randomTensor(transposeB ? [n, k] : [k, n], 2), randomTensor([n], 3)]
      await compareWithReference((x, y, bias) => fj.relu(fj.add(fj.matmul(x!, y!, { transposeB }), bias!)), operands)
    }
  }
})

// Vectors along the depth, too: few rows, and rows of weights; and the product with the same weights that a gradient is,
// whose depth threads share.
it.each([2, 3, 8, 11, 14])('few rows: %i', async (m) => {
  for (const [n, k] of [
    [33, 64],
    [120, 301],
    [65, 600],
  ] as const) {
    const weight = randomTensor([n, k], 2)
    await compareWithReference(
      (x, w, bias) => fj.relu(fj.linear(x!, w!, bias!)),
      [randomTensor([m, k], 1), weight, randomTensor([n], 3)],
    )
    await compareWithReference((x, w) => fj.matmul(x!, w!), [randomTensor([m, n], 4), weight])
  }
})

it('gives the same bits for any number of threads', async () => {
  const [cpu] = (await fj.devices()).filter((d) => d.kind === 'cpu')
  const product = fj.compile((x, w, bias) => fj.relu(fj.add(fj.matmul(x, w), bias)))
  const [x, w, bias] = [randomTensor([8, 120], 1), randomTensor([120, 400], 2), randomTensor([400], 3)]
  try {
    await fj.setThreads(1)
    const alone = await (await product(x, w, bias)).data()
    for (const count of [2, 3, 4, 7]) {
      await fj.setThreads(count)
      expect(await (await product(x, w, bias)).data(), `${count} threads`).toEqual(alone)
    }
  } finally {
    await fj.setThreads(cpu!.threads)
  }
})

// Stacks of matrices with broadcast batches (one below and one above four matrices a thread), and a depth of
// more than one cache block with a width of more than one.
const BATCHES = [
  [
    [3, 7, 5],
    [5, 9],
  ],
  [
    [2, 1, 3, 4],
    [5, 4, 6],
  ],
  [
    [40, 3, 8],
    [40, 8, 5],
  ],
  [
    [1, 6, 4],
    [33, 4, 17],
  ],
  [
    [15, 600],
    [600, 300],
  ],
] as const

it.each(BATCHES)('batched %j x %j in every variant', async (left, right) => {
  for (const algorithm of VARIANTS) {
    await compareWithReference((x, y) => fj.matmul(x!, y!), [randomTensor([...left], 5), randomTensor([...right], 6)], {
      algorithms: { matmul: algorithm },
      ...tolerance(algorithm),
    })
  }
})

// Bias and ReLU become part of the product.
it('a linear layer of no features gives its bias', async () => {
  const y = fj.linear(fj.zeros([2, 1, 0]), fj.zeros([3, 0]), fj.tensor([1, 2, 3]))
  expect(await y.array()).toEqual([[[1, 2, 3]], [[1, 2, 3]]])
})

it.each(VARIANTS)('variant %s finishes a linear layer', async (matmul) => {
  const [x, w, b] = [randomTensor([37, 21], 7), randomTensor([50, 21], 8), randomTensor([50], 9)]
  await compareWithReference((...args) => fj.relu(fj.linear(args[0]!, args[1]!, args[2]!)), [x, w, b], {
    algorithms: { matmul },
    ...tolerance(matmul),
  })
})

// Of a plain product, few columns, few rows, one, a batch: the gradient of each ReLU becomes part of a product.
const BEHIND_RELU = [
  [
    [37, 50],
    [50, 21],
  ],
  [
    [67, 7],
    [7, 301],
  ],
  [
    [8, 400],
    [400, 120],
  ],
  [
    [1, 70],
    [70, 33],
  ],
  [
    [64, 96],
    [96, 128],
  ],
  [
    [40, 3, 8],
    [40, 8, 5],
  ],
] as const

it.each(VARIANTS)('variant %s masks its result by a ReLU', async (matmul) => {
  const transposed = (shape: readonly number[]) => [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!]
  for (const [left, right] of BEHIND_RELU) {
    for (const turned of [false, true]) {
      const shapes = turned ? [transposed(left), transposed(right)] : [left, right]
      await compareWithReference(
        (x, w) => fj.matmul(fj.relu(x!), fj.relu(w!), { transposeA: turned, transposeB: turned }),
        shapes.map((shape, i) => randomTensor([...shape], i)),
        {
          algorithms: { matmul },
          ...tolerance(matmul),
          onExplained: (text) => expect(text.match(/matmul \+ reluGrad/g)).toHaveLength(2),
        },
      )
    }
  }
})

it.each(VARIANTS)('variant %s of an empty sum is zero', async (matmul) => {
  const product = fj.compile((a: fj.Tensor, b: fj.Tensor) => fj.matmul(a, b), { algorithms: { matmul } })
  expect([...(await (await product(fj.zeros([2, 0]), fj.zeros([0, 3]))).data())]).toEqual([0, 0, 0, 0, 0, 0])
})

it('has correct gradients', async () => {
  await fj.gradcheck((a, b) => fj.matmul(a!, b!), [randomTensor([2, 3, 4], 3), randomTensor([4, 5], 4)])
  await fj.gradcheck(
    (x, w, b) => fj.linear(x!, w!, b!),
    [randomTensor([3, 4], 3), randomTensor([5, 4], 4), randomTensor([5], 5)],
  )
})

it('names operands and shapes of bad input', () => {
  expect(() => fj.matmul(fj.zeros([2, 3]), fj.zeros([4, 5]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  expect(() => fj.matmul(fj.zeros([2, 3]), fj.zeros([3, 5], { dtype: 'int32' }))).toThrow(
    expect.objectContaining({ code: 'ERR_DTYPE' }),
  )
})
