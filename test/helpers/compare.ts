/** Comparing arrays, devices and golden vectors. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect } from 'vitest'
import type { DType } from '../../lib/dtype.js'
import * as fj from '../../lib/index.js'
import { RandomStream } from '../../lib/random.js'
import { TEST_DEVICE } from './device.js'

export interface Tolerance {
  /** Allowed difference relative to the largest expected magnitude. Default 1e-4. */
  rtol?: number
  /** Allowed absolute difference. Default 1e-6. */
  atol?: number
}

/** Fails unless the arrays agree element by element; NaN equals NaN, infinities must match exactly. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
  tolerance: Tolerance = {},
): void {
  const { rtol = 1e-4, atol = 1e-6 } = tolerance
  expect(actual.length, `${what}: number of elements`).toBe(expected.length)
  let scale = 0
  for (let i = 0; i < expected.length; i++)
    if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i]!))
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!
    const e = expected[i]!
    const same =
      Object.is(a, e) ||
      a === e ||
      Math.abs(a - e) <= atol + rtol * Math.min(scale, Math.max(Math.abs(e), scale * 1e-2))
    if (!same) expect.fail(`${what}: element ${i} is ${a}, expected ${e} (largest magnitude ${scale})`)
  }
}

/** Normal (or, for integers, small non-negative) random elements, the same for the same seed. */
export function randomTensor(shape: readonly number[], seed: number, dtype: DType = 'float32', below = 10): fj.Tensor {
  const stream = new RandomStream(seed, 0, 99)
  const size = shape.reduce((a, b) => a * b, 1)
  const data = new Float64Array(size)
  for (let i = 0; i < size; i++) data[i] = dtype === 'float32' ? stream.normal() : stream.below(below)
  return fj.tensor(data, { shape, dtype })
}

/**
 * (rows, columns) whose rows GPUs share to eight threads, a warp or a block, in one stride or several (native/cuda/rows.cuh),
 * in packs of four elements and not.
 */
export const ROWS_TO_SHARE: [number, number][] = [
  [70, 3],
  [9, 20],
  [5, 32],
  [5, 33],
  [3, 128],
  [3, 516],
  [2, 517],
  [2, 1024],
  [2, 1028],
  [2, 1501],
  [2, 3000],
  [2, 3001],
  [2, 6000],
  [2, 6001],
  [1, 8196],
  [1, 8203],
  [1, 33004],
  [2, 33005],
]

type Fn = (...inputs: fj.Tensor[]) => fj.Tensor | fj.Tensor[]

export interface CompareOptions extends Tolerance {
  /** Compare gradients with respect to float inputs too. Default true. */
  gradients?: boolean
  algorithms?: Record<string, string>
  /** How often the device under test runs it; the last run is compared. CUDA records a graph in the second. Default 1. */
  runs?: number
  /** Gets what explain() says of the program on the device under test. */
  onExplained?: (text: string) => void
}

/**
 * Runs `fn` on the device under test and on the float64 reference and compares every output, and the gradients of every float32
 * input for fixed random output gradients.
 */
export async function compareWithReference(
  fn: Fn,
  inputs: readonly fj.Tensor[],
  options: CompareOptions = {},
): Promise<void> {
  const { gradients = true, algorithms, runs = 1, onExplained } = options
  const traced = (...args: fj.Tensor[]) => {
    const result = fn(...args)
    const outputs = Array.isArray(result) ? result : [result]
    const wanted = args.filter((t) => t.dtype === 'float32')
    const floats = outputs.filter((t) => t.dtype === 'float32')
    const seeds = floats.map((t, i) => randomTensor(t.shape, 1000 + i))
    const grads = gradients && wanted.length > 0 ? fj.grad(floats, wanted, { gradOutputs: seeds }) : []
    return { outputs, grads }
  }
  const run = async (device: string) => {
    const compiled = fj.compile(traced, { device, ...(device === TEST_DEVICE && algorithms ? { algorithms } : {}) })
    const tested = device === TEST_DEVICE
    let { outputs, grads } = await compiled(...inputs)
    for (let run = 1; tested && run < runs; run++) ({ outputs, grads } = await compiled(...inputs))
    if (tested) onExplained?.(compiled.explain())
    const read = (list: fj.Tensor[]) => Promise.all(list.map((t) => t.data()))
    const data = { outputs: await read(outputs), grads: await read(grads), dtypes: outputs.map((t) => t.dtype) }
    compiled.dispose()
    return data
  }
  const [actual, reference] = [await run(TEST_DEVICE), await run('reference')]
  expect(actual.dtypes).toEqual(reference.dtypes)
  actual.outputs.forEach((out, i) => expectClose(out, reference.outputs[i]!, `output ${i}`, options))
  actual.grads.forEach((g, i) => expectClose(g, reference.grads[i]!, `gradient ${i}`, options))
}

export interface GoldenTensor {
  shape: number[]
  dtype: DType
  data: number[]
}

export interface GoldenCase {
  name: string
  op: string
  attrs: Record<string, never>
  inputs: Record<string, GoldenTensor>
  outputs: Record<string, GoldenTensor>
  gradOutputs?: Record<string, GoldenTensor>
  grads?: Record<string, GoldenTensor>
  state?: Record<string, GoldenTensor>
  gradients?: GoldenTensor[]
  trajectory?: GoldenTensor[]
  lrs?: number[]
}

let golden: Record<string, GoldenCase> | undefined

/** PyTorch's vectors (README of test/golden). */
export function allGoldenCases(): GoldenCase[] {
  golden ??= JSON.parse(
    gunzipSync(readFileSync(new URL('../golden/cases.json.gz', import.meta.url))).toString(),
  ) as Record<string, GoldenCase>
  return Object.values(golden)
}

/** Those whose operation is `op`. */
export function goldenCases(op: string): GoldenCase[] {
  const cases = allGoldenCases().filter((c) => c.op === op)
  if (cases.length === 0) throw new Error(`no golden case for ${op}`)
  return cases
}

export function goldenTensor(g: GoldenTensor): fj.Tensor {
  return fj.tensor(g.data as unknown as number[], { shape: g.shape, dtype: g.dtype })
}

/**
 * Runs a golden case on `device`: `build` gets the inputs by name and the attributes and gives the outputs by name.
 * Outputs and gradients must agree within 1e-4 relative.
 */
export async function checkGolden(
  test: GoldenCase,
  build: (inputs: Record<string, fj.Tensor>, attrs: GoldenCase['attrs']) => Record<string, fj.Tensor> | fj.Tensor,
  device: string,
): Promise<void> {
  const names = Object.keys(test.inputs)
  const outputNames = Object.keys(test.outputs)
  const gradNames = Object.keys(test.grads ?? {})
  const compiled = fj.compile(
    (...args: fj.Tensor[]) => {
      const inputs = Object.fromEntries(names.map((name, i) => [name, args[i]!]))
      const result = build(inputs, test.attrs)
      const outputs = result instanceof fj.Tensor ? { [outputNames[0]!]: result } : result
      const seeded = Object.keys(test.gradOutputs ?? {})
      const grads = gradNames.length
        ? fj.grad(
            seeded.map((name) => outputs[name]!),
            gradNames.map((name) => inputs[name]!),
            { gradOutputs: seeded.map((name) => goldenTensor(test.gradOutputs![name]!)) },
          )
        : []
      return { outputs: outputNames.map((name) => outputs[name]!), grads }
    },
    { device },
  )
  const { outputs, grads } = await compiled(...names.map((name) => goldenTensor(test.inputs[name]!)))
  for (const [i, name] of outputNames.entries()) {
    expect(outputs[i]!.shape).toEqual(test.outputs[name]!.shape)
    expectClose(await outputs[i]!.data(), test.outputs[name]!.data, `${test.name}: ${name}`)
  }
  for (const [i, name] of gradNames.entries()) {
    expectClose(await grads[i]!.data(), test.grads![name]!.data, `${test.name}: gradient of ${name}`)
  }
  compiled.dispose()
}
