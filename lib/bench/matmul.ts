/** Matrix products: square, and the small shapes of real layers. */
import * as fj from '../index.js'
import { type KernelCase, measureKernel } from './kernels.js'
import { attempt, isGpu, type SuiteContext } from './suite.js'

interface Product {
  m: number
  k: number
  n: number
  transposeA?: boolean
  transposeB?: boolean
}

const square = (size: number): Product => ({ m: size, k: size, n: size })

const CASES: readonly Product[] = [
  square(32),
  square(48),
  square(64),
  square(96),
  square(128),
  { m: 64, k: 784, n: 512 },
  { m: 128, k: 400, n: 120 },
  { m: 128, k: 512, n: 10 },
  square(512),
  { ...square(512), transposeB: true },
  { ...square(512), transposeA: true },
  square(1024),
  square(2048),
  square(4096),
]

/** Sizes that end with the naive variant too. */
const LADDER: readonly Product[] = [square(128), square(512), square(1024)]
/** A GPU is busy from here on. */
const LADDER_CUDA: readonly Product[] = [square(1024), square(4096)]

export async function matmulSuite(context: SuiteContext): Promise<void> {
  const ladder = isGpu(context) ? LADDER_CUDA : LADDER
  for (const product of context.ladder ? ladder : CASES) {
    const kase = kernelCase(product)
    await attempt(context, kase.name, () => measureKernel(context, kase))
  }
}

function kernelCase({ m, k, n, transposeA = false, transposeB = false }: Product): KernelCase {
  const letters = transposeA || transposeB ? ` ${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}` : ''
  // A few rows of a and columns of b.
  const rows = Math.min(m, 8)
  const columns = Math.min(n, 8)
  return {
    suite: 'matmul',
    name: `${m}x${k}x${n}${letters}`,
    operation: 'matmul',
    inputs: { a: { shape: transposeA ? [k, m] : [m, k] }, b: { shape: transposeB ? [n, k] : [k, n] } },
    build: ({ a, b }) => fj.matmul(a!, b!, { transposeA, transposeB }),
    corner: {
      a: transposeA ? [k, rows] : [rows, k],
      b: transposeB ? [columns, k] : [k, columns],
      result: [rows, columns],
    },
    task: { kind: 'matmul', transposeA, transposeB },
    tolerance: 1e-4,
    flops: 2 * m * k * n,
    bytes: 4 * (m * k + k * n + m * n),
  }
}
