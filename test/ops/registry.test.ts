/**
 * The meta-test: no operation may miss a part. Its name must be read in this folder's tests, so that each has cases;
 * what only the CPU can run is printed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import '../../lib/index.js'
import { generateHeader, HEADER_PATH } from '../../lib/ops/generate.js'
import { type AnyOp, allOps } from '../../lib/ops/registry.js'
import { loadAddon } from '../../lib/runtime/addon.js'

const root = new URL('../../', import.meta.url)
const ops = allOps()
/** Operations that end up in programs. */
const kernels = ops.filter((op) => !op.traits.leaf && !op.traits.view)
/** Operations that people write. */
const written = ops.filter((op) => !op.traits.leaf && !op.traits.internal)
const named = (list: readonly AnyOp[]) => list.map((op) => [op.name, op] as const)

function filesOf(folder: string, extension: string): string[] {
  const url = new URL(folder, root)
  if (!existsSync(url)) return []
  return readdirSync(url, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => readFileSync(new URL(name, `${url}/`), 'utf8'))
}

const constant = (name: string, kind = 'OP_') =>
  `FJ_${kind}${name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()}`
const cudaSources = [...filesOf('native/cuda', '.cu'), ...filesOf('native/cuda', '.cuh')].join('\n')

it('has unique names and codes that fit a program', () => {
  expect(new Set(ops.map((op) => op.name)).size).toBe(ops.length)
  expect(new Set(ops.map((op) => op.code)).size).toBe(ops.length)
  for (const op of ops) expect(op.code > 0 && op.code < 65536, `${op.name}: code ${op.code}`).toBe(true)
})

describe.each(named(ops))('%s', (_, op) => {
  it('has a shape rule, and a gradient or says that it has none', () => {
    expect(op.infer).toBeTypeOf('function')
    expect(op.grad === null || typeof op.grad === 'function').toBe(true)
  })
  it('puts a tail of its attributes last', () => {
    const fields = Object.values(op.attrs as Record<string, string>)
    expect(fields.slice(0, -1)).not.toContain('i32[]')
  })
  it.skipIf(op.traits.leaf || op.traits.internal)('has a reference', () => {
    expect(op.reference).toBeTypeOf('function')
  })
  it('keeps its traits consistent', () => {
    const { leaf, view, elementwise, inplace, residual } = op.traits
    expect([leaf, view, elementwise].filter(Boolean).length).toBeLessThanOrEqual(1)
    for (const pair of inplace ?? []) expect(pair).toEqual([expect.any(Number), expect.any(Number)])
    if (residual !== undefined) expect(residual).toBe(op.inputs.length - 1)
  })
})

describe.each(named(kernels))('%s', (_, op) => {
  it('has a CPU kernel, and each variant that it lists has one somewhere', () => {
    const addon = loadAddon()
    expect(addon.supports('cpu', op.code, 0)).toBe(true)
    const missing = (op.variants ?? []).filter(
      (variant, i) =>
        !addon.supports('cpu', op.code, i + 1) &&
        !cudaSources.includes(`${constant(op.name, '')}_${variant.toUpperCase()}`),
    )
    expect(missing, 'variants without a kernel').toEqual([])
  })
})

it('has tests that name each operation', () => {
  const text = [
    ...filesOf('test/ops', '.test.ts'),
    ...filesOf('test/nn', '.test.ts'),
    ...filesOf('test/optim', '.test.ts'),
  ]
    .concat(filesOf('test/passes', '.test.ts'))
    .join('\n')
  // maxPool2dGrad is what a test of maxPool2d with gradients runs, maxPool2dGather with second ones.
  const isNamed = (name: string) =>
    [name, name.replace(/(Grad|Backward|Gather)(Input|Weight|Bias|Filter)?$/, '')].some((n) =>
      new RegExp(`\\b${n}\\b|['"]${n}['"]`).test(text),
    )
  expect(written.map((op) => op.name).filter((name) => !isNamed(name))).toEqual([])
})

it('has a generated header that is not stale', () => {
  expect(readFileSync(HEADER_PATH, 'utf8'), 'run `npm run gen`').toBe(generateHeader())
})

it('says which operations run on the CPU only', () => {
  const has = (op: AnyOp) => new RegExp(`\\b${constant(op.name)}\\b`).test(cudaSources)
  const cpuOnly = kernels.filter((op) => !has(op)).map((op) => op.name)
  console.log(cpuOnly.length === 0 ? 'every operation has a CUDA kernel' : `CPU only: ${cpuOnly.join(', ')}`)
})
