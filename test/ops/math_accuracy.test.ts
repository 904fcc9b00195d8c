/**
 * Accuracy of native/cpu/simd/math.h: each function swept over all float32 exponents, both signs, subnormal numbers
 * included, and densely where it bends; errors in units in the last place (ulp) of float32 against float64. GPUs compute
 * by CUDA's functions, which are held to what its programming guide says of them.
 */
import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { erfOf } from '../../lib/ops/math.js'
import { TEST_DEVICE } from '../helpers/device.js'

const sigmoid = (x: number) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)))

/** Function, float64 truth, allowed error in ulp, range of the dense sweep. */
const FUNCTIONS: [string, (x: fj.Tensor) => fj.Tensor, (x: number) => number, number, [number, number]][] = [
  ['exp', fj.exp, Math.exp, 1.1, [-104, 89]],
  ['expm1', fj.expm1, Math.expm1, 1.6, [-20, 89]],
  ['log', fj.log, Math.log, 1.1, [0.1, 10]],
  ['log1p', fj.log1p, Math.log1p, 1.6, [-0.99, 3]],
  ['tanh', fj.tanh, Math.tanh, 2.6, [-10, 10]],
  ['sigmoid', fj.sigmoid, sigmoid, 2.6, [-104, 20]],
  ['erf', fj.erf, erfOf, 1.6, [-4.2, 4.2]],
  ['sin', fj.sin, Math.sin, 1.6, [-100, 100]],
  ['cos', fj.cos, Math.cos, 1.6, [-100, 100]],
  ['sqrt', fj.sqrt, Math.sqrt, 0.51, [0, 10]],
  ['rsqrt', fj.rsqrt, (x) => 1 / Math.sqrt(x), 1.6, [0, 10]],
]

/** The guide's bound of those that err more, and half an ulp, since it counts from the rounded truth; sigmoid is made of exp. */
const OF_CUDA: Readonly<Record<string, number>> = {
  exp: 2.5,
  log: 1.5,
  sigmoid: 3.6,
  erf: 2.5,
  sin: 2.5,
  cos: 2.5,
  rsqrt: 2.5,
}
const onGpu = /^cuda(:|$)/.test(TEST_DEVICE)

function ulp(x: number): number {
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(x)) || -126))
  return 2 ** (Math.min(exponent, 127) - 23)
}

function error(actual: number, expected: number): number {
  const rounded = Math.fround(expected)
  if (Object.is(actual, rounded) || actual === rounded || (Number.isNaN(actual) && Number.isNaN(rounded))) return 0
  return Math.abs(actual - expected) / ulp(expected) || Number.POSITIVE_INFINITY
}

function inputs([low, high]: [number, number]): Float32Array {
  const words = new Uint32Array(150_001)
  for (let i = 0; i < 100_000; i++) words[i] = i * 42949 // every exponent, both signs
  const x = new Float32Array(words.buffer)
  for (let i = 0; i <= 50_000; i++) x[100_000 + i] = low + ((high - low) * i) / 50_000
  return x
}

it.each(FUNCTIONS)('%s', async (name, fn, truth, ours, range) => {
  const allowed = (onGpu ? OF_CUDA[name] : undefined) ?? ours
  const x = inputs(range)
  const y = await fn(fj.tensor(x)).data()
  let worst = 0
  let at = 0
  for (let i = 0; i < x.length; i++) {
    const e = error(y[i]!, truth(x[i]!))
    if (e > worst) [worst, at] = [e, i]
  }
  if (process.env.FORJA_SHOW_ERRORS) process.stderr.write(`${name}: ${worst.toFixed(3)} ulp at ${x[at]}\n`)
  expect(worst, `${name}(${x[at]}) is ${y[at]}, expected ${truth(x[at]!)}`).toBeLessThanOrEqual(allowed)
})

it('pow', async () => {
  const bases = new Float32Array(new Uint32Array(60_000).map((_, i) => i * 35791).buffer) // positive numbers
  const exponents = Float32Array.from(bases, (a, i) => {
    const limit = 148 / Math.max(1e-3, Math.abs(Math.log2(a)) || 1) // so that most results are finite
    return limit * Math.sin(i * 0.7)
  })
  const y = await fj.pow(fj.tensor(bases), fj.tensor(exponents)).data()
  let worst = 0
  for (let i = 0; i < y.length; i++) worst = Math.max(worst, error(y[i]!, bases[i]! ** exponents[i]!))
  if (process.env.FORJA_SHOW_ERRORS) process.stderr.write(`pow: ${worst.toFixed(3)} ulp\n`)
  expect(worst).toBeLessThanOrEqual(0.51)
})
