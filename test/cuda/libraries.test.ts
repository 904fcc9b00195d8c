/**
 * cuBLASLt and cuDNN as variants of products and convolutions. Fake ones (fakes), which compute on the emulator's memory
 * and log what they are told, stand for NVIDIA's; those of a GPU are compared with the reference by test/ops.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { runChildJson } from '../helpers/child.js'
import { TEST_DEVICE } from '../helpers/device.js'

const emulated = TEST_DEVICE === 'cuda-emulated'
if (!emulated) console.log("fake libraries are left out: they need device 'cuda-emulated'")

const fakes = process.env.FORJA_CUDA_LIB_DIR ?? ''
const folder = mkdtempSync(join(tmpdir(), 'forja-libraries-'))
afterAll(() => rmSync(folder, { recursive: true }))
let logs = 0

function run<T>(what: string, env: Record<string, string> = {}): Promise<T> {
  const log = join(folder, `log${logs++}`)
  const all = {
    FORJA_FAKE_LOG: log,
    FORJA_CUDA_LIB_DIR: fakes,
    FORJA_TUNE: '',
    FORJA_CACHE_DIR: `${log}.cache`,
    ...env,
  }
  return runChildJson<T>('cuda_libraries', { args: [TEST_DEVICE, what], env: all })
}

interface Result {
  same: boolean
  kernels: string[]
  told: string[]
}
interface Refused {
  code: string
  message: string
}

describe.runIf(emulated)('what was found', () => {
  it('is named with version and path', async () => {
    expect(await run('status')).toEqual([
      { name: 'cuBLASLt', available: true, version: '13.1.0', path: join(fakes, 'libcublasLt.so.13') },
      { name: 'cuDNN', available: true, version: '9.10.2', path: join(fakes, 'libcudnn.so.9') },
    ])
    expect(await run('status', { FORJA_CUDA_LIB_DIR: `/missing::${fakes}` })).toMatchObject([
      { available: true },
      { available: true },
    ])
  })

  const cublas = join(fakes, 'libcublasLt.so.13')
  const lacking = join(`${fakes}-lacking`, 'libcublasLt.so.13')
  it.each<[string, Record<string, string>, string]>([
    [
      'is nowhere',
      { FORJA_CUDA_LIB_DIR: '/missing' },
      'no cuBLASLt was found (libcublasLt.so.13, ...); FORJA_CUDA_LIB_DIR names its folder',
    ],
    ['lacks a function', { FORJA_CUDA_LIB_DIR: `${fakes}-lacking` }, `${lacking} has no cublasLtMatmul`],
    ['is too old', { FORJA_FAKE_VERSION: '10201' }, `cuBLASLt 10.2.1 (${cublas}) is too old: 12.0 or newer is needed`],
    ['makes no handle', { FORJA_FAKE_FAILS: 'cublasLtCreate' }, 'cublasLtCreate failed: CUBLAS_STATUS_NOT_INITIALIZED'],
  ])('a cuBLASLt that %s is refused where it is asked for, and not missed elsewhere', async (_, env, why) => {
    const { library, after } = await run<{ library: Refused; after: string[] }>('one', env)
    expect(library).toEqual({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining(`matmul cublas is not available: ${why}`),
    })
    expect(after).toEqual(['matmul tiled'])
  })

  it.each([
    [
      { FORJA_CUDA_LIB_DIR: '/missing' },
      'no cuDNN was found (libcudnn.so.9, ...); FORJA_CUDA_LIB_DIR names its folder',
    ],
    [{ FORJA_FAKE_FAILS: 'cudnnCreate' }, 'cudnnCreate failed: CUDNN_STATUS_NOT_INITIALIZED'],
    [{ FORJA_FAKE_FAILS: 'cudnnSetStream' }, 'cudnnSetStream failed: CUDNN_STATUS_BAD_PARAM'],
  ])('so is cuDNN: %j', async (env, why) => {
    expect(await run('convolution', env)).toEqual({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining(`conv2d cudnn is not available: ${why}`),
    })
  })
})

describe.runIf(emulated)('a call of a library', () => {
  it('that it knows no algorithm for is left to the own kernel', async () => {
    const { library } = await run<{ library: Result }>('one', { FORJA_FAKE_FAILS: 'cublasLtMatmulAlgoGetHeuristic' })
    expect(library.kernels).toEqual(['matmul tiled'])
    const env = { FORJA_FAKE_FAILS: 'cudnnGetConvolutionForwardAlgorithm_v7' }
    expect((await run<Result>('convolution', env)).kernels).toEqual(['conv2d implicit'])
  })

  it('that fails is an error with its words, after which the device works', async () => {
    const env = { FORJA_FAKE_FAILS: 'cublasLtMatmul' }
    const { library, after } = await run<{ library: Refused; after: string[] }>('one', env)
    expect(library).toEqual({
      code: 'ERR_DEVICE',
      message: expect.stringContaining('matmul cublas failed: CUBLAS_STATUS_NOT_SUPPORTED'),
    })
    expect(after).toEqual(['matmul tiled'])
    expect(await run('convolution', { FORJA_FAKE_FAILS: 'cudnnConvolutionForward' })).toEqual({
      code: 'ERR_DEVICE',
      message: expect.stringContaining('conv2d cudnn failed: CUDNN_STATUS_EXECUTION_FAILED'),
    })
  })

  it('that multiplies gets transposes, bias, ReLU, batches and precision', async () => {
    const results = await run<Record<string, Result>>('products')
    const expected = {
      plain: ['NN', 1, 1],
      relu: ['NN', 2, 1],
      // The library's first operand is our second: linear's weight is transposed.
      bias: ['TN', 4, 1],
      biasRelu: ['TN', 6, 1],
      transposed: ['TT', 1, 1],
      batch: ['NN', 1, 3],
      broadcast: ['NN', 1, 3],
    } as const
    for (const [name, [transposes, epilogue, batches]] of Object.entries(expected)) {
      for (const [precision, compute, type] of [
        ['float32', 68, 0],
        ['tf32', 77, 0],
        ['bfloat16', 68, 14],
      ] as const) {
        const { same, kernels, told } = results[`${name} ${precision}`]!
        const suffix = precision === 'float32' ? '' : ` ${precision}`
        expect({ name, precision, same, kernels }).toEqual({
          name,
          precision,
          same: true,
          kernels: [`matmul cublas${suffix}`],
        })
        const line = `cublasLtMatmul ${transposes} epilogue ${epilogue} compute ${compute} type ${type} batches ${batches}`
        // Launched, then recorded; a replay is no call.
        expect(told.filter((call) => call !== 'cublasLtCreate')).toEqual([line, line])
      }
    }
  })

  it('is not made for batches that no step describes, nor for empty operands', async () => {
    const results = await run<Record<string, Result>>('products')
    for (const name of ['mixed', 'empty']) {
      for (const [precision, kernel] of [
        ['float32', 'matmul tiled'],
        ['tf32', 'matmul tensorcore tf32'],
        ['bfloat16', 'matmul tensorcore bfloat16'],
      ]) {
        expect(results[`${name} ${precision}`]).toEqual({ same: true, kernels: [kernel], told: [] })
      }
    }
  })

  it('that convolves gets strides, groups and precision, in all three directions', async () => {
    const results = await run<Record<string, Result>>('convolutions')
    const functions = ['Forward', 'BackwardData', 'BackwardFilter'].map((name) => `cudnnConvolution${name}`)
    for (const [name, groups] of [
      ['plain', 1],
      ['groups', 2],
    ] as const) {
      for (const [precision, math, type] of [
        ['float32', 3, 0],
        ['tf32', 0, 0],
        ['bfloat16', 1, 9],
      ] as const) {
        const { same, kernels, told } = results[`${name} ${precision}`]!
        const suffix = precision === 'float32' ? '' : ` ${precision}`
        expect({ name, precision, same }).toEqual({ name, precision, same: true })
        expect(kernels.sort()).toEqual(
          ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'].map((op) => `${op} cudnn${suffix}`),
        )
        const lines = functions.map((name) => `${name} type ${type} math ${math} groups ${groups}`)
        expect(told.filter((call) => call.startsWith('cudnnConvolution')).sort()).toEqual([...lines, ...lines].sort())
        // What the library recommends and then refuses is tried once.
        expect(told.filter((call) => call.startsWith('refused')).sort()).toEqual(
          functions.map((f) => `refused ${f}`).sort(),
        )
      }
    }
    // Opened before cuDNN, which would compile kernels with it.
    expect(results['plain float32']!.told).toContain('libnvrtc-builtins')
    const { same, kernels, told } = results['uneven float32']!
    expect({ same, told }).toEqual({ same: true, told: [] })
    expect(kernels.sort()).toEqual(['conv2d implicit', 'conv2dGradInput implicit', 'conv2dGradWeight implicit'])
  })
})

describe.runIf(emulated)('FORJA_TUNE', () => {
  interface Round {
    kernels: string[]
    data: number[][]
    told: string[]
  }

  it("'1' times own kernels beside the libraries' once, and remembers what was faster", async () => {
    const sites = join(folder, 'sites')
    const [first, second] = await run<[Round, Round]>('tuned', { FORJA_TUNE: '1', SIMT_SITES: sites })
    // The fake's product runs natively, the own one in fibers; of the convolutions either may win.
    expect(first.kernels.sort()).toEqual([
      expect.stringMatching(/^conv2d (cudnn|implicit), measured$/),
      'matmul cublas, measured',
    ])
    expect(second.kernels.sort()).toEqual(first.kernels)
    expect(second.data).toEqual(first.data)
    // Tried twice, and recorded for its turns; then launched and recorded only.
    const count = ({ told }: Round, name: string) => told.filter((call) => call.startsWith(name)).length
    for (const name of ['cublasLtMatmul', 'cudnnConvolutionForward']) expect(count(first, name)).toBeGreaterThan(2)
    expect(count(second, 'cublasLtMatmul')).toBe(2)
    expect(count(second, 'cudnnConvolutionForward')).toBe(first.kernels[0]!.includes('cudnn') ? 2 : 0)
    const launched = readFileSync(sites, 'utf8')
    expect(launched).toContain('gemm.cuh') // own kernels had their turn
    expect(launched, 'what is timed waits until the host has handed it over').toContain('run.cu')
  })

  it("'1' takes what an earlier process chose", async () => {
    const env = { FORJA_TUNE: '1', FORJA_CACHE_DIR: join(folder, 'cache') }
    const [earlier] = await run<[Round, Round]>('tuned', { ...env, FORJA_FAKE_SLOW_MS: '50' })
    expect(earlier.kernels.sort()).toEqual(['conv2d implicit, measured', 'matmul tiled, measured'])
    const [later] = await run<[Round, Round]>('tuned', env)
    expect(later.kernels.sort()).toEqual(earlier.kernels)
    const used = (round: Round) => round.told.filter((call) => /^(cublasLtMatmul|cudnnConvolutionForward)/.test(call))
    expect(used(later)).toEqual([])
    // Of other libraries nothing is known yet.
    const [updated] = await run<[Round, Round]>('tuned', { ...env, FORJA_FAKE_VERSION: '130200' })
    expect(used(updated)).not.toEqual([])
  })

  it("'1' keeps own kernels that are faster", async () => {
    const rounds = await run<[Round, Round]>('tuned', { FORJA_TUNE: '1', FORJA_FAKE_SLOW_MS: '50' })
    for (const { kernels } of rounds) {
      expect(kernels.sort()).toEqual(['conv2d implicit, measured', 'matmul tiled, measured'])
    }
  })

  it("'1' measures nothing where there is no library, nor where its calls or recordings fail", async () => {
    const broken: Record<string, string>[] = [
      { FORJA_CUDA_LIB_DIR: '/missing' },
      { FORJA_FAKE_FAILS: 'cublasLtMatmul' },
      { SIMT_FAIL_GRAPHS: '1' },
    ]
    for (const env of broken) {
      const [{ kernels }] = await run<[Round, Round]>('tuned', { FORJA_TUNE: '1', ...env })
      expect(kernels).toContain('matmul tiled')
    }
  })

  it("'0' asks no library", async () => {
    const [{ kernels, told }] = await run<[Round, Round]>('tuned', { FORJA_TUNE: '0' })
    expect(kernels.sort()).toEqual(['conv2d implicit', 'matmul tiled'])
    expect(told).toEqual([])
  })

  it("'fast' is refused", async () => {
    expect(await run('convolution', { FORJA_TUNE: 'fast' })).toEqual({
      code: 'ERR_DEVICE',
      message: expect.stringContaining("FORJA_TUNE must be 0 or 1: 'fast'"),
    })
  })
})
