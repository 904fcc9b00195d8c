/** Matrix products: every variant, square and the small shapes of real layers, against torch.mm. */
import * as fj from '../../lib/index.js'
import { asyncContender, type Contender, checkParity, race, ratioOf } from '../harness.js'
import type { PeerArray } from '../peers/pytorch.js'
import type { Row, SuiteContext } from '../report.js'

interface MatmulCase {
  m: number
  k: number
  n: number
  transposeA?: boolean
  transposeB?: boolean
  /** Variants to time; the slow ones only where they end. */
  variants?: readonly string[]
}

const CASES: readonly MatmulCase[] = [
  { m: 32, k: 32, n: 32 },
  { m: 64, k: 64, n: 64 },
  { m: 128, k: 128, n: 128 },
  { m: 64, k: 784, n: 512 },
  { m: 128, k: 400, n: 120 },
  { m: 128, k: 512, n: 10 },
  { m: 512, k: 512, n: 512, variants: ['naive', 'blocked', 'simd'] },
  { m: 512, k: 512, n: 512, transposeB: true },
  { m: 512, k: 512, n: 512, transposeA: true },
  { m: 1024, k: 1024, n: 1024 },
  { m: 2048, k: 2048, n: 2048 },
]

function random(length: number, seed: number): Float32Array {
  let state = seed >>> 0
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

export async function matmulSuite(context: SuiteContext): Promise<void> {
  for (const kase of CASES) {
    const { m, k, n, transposeA = false, transposeB = false } = kase
    const name = `${m}x${k}x${n}${transposeA || transposeB ? ` ${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}` : ''}`
    if (!context.wants(name)) continue
    const a: PeerArray = { shape: transposeA ? [k, m] : [m, k], dtype: 'float32', data: random(m * k, 1) }
    const b: PeerArray = { shape: transposeB ? [n, k] : [k, n], dtype: 'float32', data: random(k * n, 2) }
    const left = fj.variable(fj.tensor(a.data, { shape: a.shape }))
    const right = fj.variable(fj.tensor(b.data, { shape: b.shape }))
    const contenders: Contender[] = []
    const results: { variant: string; head: ArrayLike<number> }[] = []
    const compiled: { dispose(): void }[] = []
    for (const variant of kase.variants ?? ['simd']) {
      const product = fj.compile(() => fj.matmul(left, right, { transposeA, transposeB }), {
        algorithms: { matmul: variant },
      })
      results.push({ variant, head: (await (await product()).data()).slice(0, 64) })
      // What is timed is the kernel's own step: the copy of the result to JavaScript is not part of a product.
      contenders.push(
        asyncContender(
          variant,
          async () => (await product.profile()).find((row) => row.operation === 'matmul')!.milliseconds / 1000,
        ),
      )
      compiled.push(product)
    }
    const { peer } = context
    if (peer) {
      const head = await peer.prepare({ kind: 'matmul', transposeA, transposeB }, { a, b })
      for (const { variant, head: ours } of results) checkParity(`matmul ${name} ${variant}`, ours, head, 1e-4)
      contenders.push({ name: 'pytorch', turn: (seconds) => peer.time(seconds) })
    }
    const timings = await race(contenders, context.seconds)
    const torch = timings.find((t) => t.name === 'pytorch')
    const gflop = (2 * m * k * n) / 1e9
    for (const timing of timings) {
      const row: Row = {
        suite: 'matmul',
        case: name,
        variant: timing.name,
        dtype: 'float32',
        p50Ms: timing.p50Ms,
        gflops: gflop / (timing.p50Ms / 1000),
      }
      if (torch && timing !== torch) row.ratio = ratioOf(torch, timing)
      context.report(row)
    }
    for (const product of compiled) product.dispose()
    left.dispose()
    right.dispose()
  }
}
