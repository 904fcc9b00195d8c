/** The suites without peers, for as short as they run: what a row holds, and that a wrong result is none. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { fileName } from '../../bench/cuda.js'
import { accuracySuite } from '../../lib/bench/accuracy.js'
import type { Row } from '../../lib/bench/row.js'
import { type BenchOptions, type BenchResult, type Failure, runBench } from '../../lib/bench/run.js'
import { measure, type SuiteContext } from '../../lib/bench/suite.js'
import * as fj from '../../lib/index.js'

interface Run extends BenchResult {
  said: string[]
  rowsTold: Row[]
  failures: Failure[]
}

async function bench(suite: Parameters<typeof runBench>[0], options: BenchOptions): Promise<Run> {
  const said: string[] = []
  const rowsTold: Row[] = []
  const failures: Failure[] = []
  const result = await runBench(
    suite,
    { seconds: 0.01, peers: false, threads: 1, ...options },
    {
      row: (row) => rowsTold.push(row),
      error: (failure) => failures.push(failure),
      say: (text) => said.push(text),
    },
  )
  return { ...result, said, rowsTold, failures }
}

describe('matmul', () => {
  it('gives a row with speed, share of the peak and what it was checked against', async () => {
    const { rows, rowsTold, peers, said } = await bench('matmul', { case: '128x400x120' })
    expect(rows).toHaveLength(1)
    expect(rowsTold).toEqual(rows)
    const [row] = rows
    expect(row).toMatchObject({
      suite: 'matmul',
      case: '128x400x120',
      variant: 'simd',
      device: 'cpu',
      dtype: 'float32',
    })
    expect(row!.gflops).toBeCloseTo((2 * 128 * 400 * 120) / 1e6 / row!.p50Ms, 6)
    expect(row!.percentOfPeak).toBeCloseTo((100 * row!.gflops!) / row!.fmaGflops!, 6)
    expect(row!.gbytes).toBeCloseTo((4 * (128 * 400 + 400 * 120 + 128 * 120)) / 1e6 / row!.p50Ms, 6)
    expect(row!.minMs).toBeLessThanOrEqual(row!.p50Ms)
    expect(row!.checked).toEqual([{ against: 'reference', error: expect.any(Number) }])
    expect(row!.ratios).toBeUndefined()
    expect(peers).toContainEqual({ name: 'pytorch', absent: 'switched off by --no-peers' })
    expect(said.join('\n')).toContain('pytorch: absent (switched off by --no-peers)')
  })

  it('as a ladder has every variant, the slowest first', async () => {
    const { rows, said } = await bench('matmul', { case: '128x128x128', ladder: true })
    const variants = rows.map((row) => row.variant)
    expect(variants).toEqual(expect.arrayContaining(['naive', 'blocked', 'simd']))
    if (!variants.includes('blas')) expect(said.join('\n')).toMatch(/128x128x128: no blas \(.+\)/)
    const times = rows.map((row) => row.p50Ms)
    expect(times).toEqual([...times].sort((a, b) => b - a))
  })

  it('on the reference device has no ceilings', async () => {
    const { rows } = await bench('matmul', { case: '32x32x32', device: 'reference' })
    expect(rows).toMatchObject([{ variant: 'reference', device: 'reference' }])
    expect(rows[0]!.percentOfPeak).toBeUndefined()
  })
})

it('writes each row when it is there, and says of the file what it is', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'forja-bench-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const out = join(folder, 'result.json')
  const written: BenchResult[] = []
  const listener = {
    row: () => void (existsSync(out) && written.push(JSON.parse(readFileSync(out, 'utf8')))),
    error: () => {},
    say: () => {},
  }
  const options = { case: '128x', seconds: 0.01, threads: 1, peers: ['nobody'], out }
  const result = await runBench('matmul', options, listener)
  expect(written.map(({ rows, unfinished }) => [rows.length, unfinished])).toEqual([
    [1, true],
    [2, true],
    [3, true],
  ])
  expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(JSON.parse(JSON.stringify(result)))
  expect(result.rows).toHaveLength(3)
  expect(result).not.toHaveProperty('unfinished')
  expect(result.peers).toContainEqual({ name: 'pytorch', absent: 'not asked for' })
})

it('begins no case when its time is over, and says which', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'forja-bench-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const out = join(folder, 'result.json')
  const { rows, said } = await bench('matmul', { case: '32x32', until: Date.now(), out })
  expect(rows).toEqual([])
  expect(said).toContain('\nnot begun, the time is over: 32x32x32')
  expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({ rows: [], unfinished: true })
})

it('conv times each direction, but no gradient of the data', async () => {
  const { rows, errors } = await bench('conv', { case: 'lenet5' })
  expect(errors).toEqual([])
  const names = (batch: number) => [
    `lenet5 5x5 1-6 @28 b${batch} forward`,
    `lenet5 5x5 1-6 @28 b${batch} gradWeight`,
    `lenet5 5x5 6-16 @14 b${batch} forward`,
    `lenet5 5x5 6-16 @14 b${batch} gradInput`,
    `lenet5 5x5 6-16 @14 b${batch} gradWeight`,
  ]
  expect(rows.map((row) => row.case)).toEqual([...names(128), ...names(8)])
  for (const row of rows) expect(row.checked).toEqual([{ against: 'reference', error: expect.any(Number) }])
})

it('ops compares bytes with the copy', async () => {
  const { rows, errors } = await bench('ops', { case: 'batch norm gradient' })
  expect(errors).toEqual([])
  const [row] = rows
  expect(row!.gbytes).toBeCloseTo((5 * 4 * 64 * 64 * 56 * 56) / 1e6 / row!.p50Ms, 6)
  expect(row!.percentOfCopy).toBeCloseTo((100 * row!.gbytes!) / row!.copyGbytes!, 6)
})

it.each(['train', 'infer'] as const)('%s is checked against plain variants where no peer is', async (suite) => {
  const { rows, errors } = await bench(suite, { case: suite === 'train' ? 'lenet5 b8' : 'lenet5 b1', threads: 2 })
  expect(errors).toEqual([])
  for (const row of rows) {
    expect(row).toMatchObject({ variant: 'forja', threads: 2, checked: [{ against: 'plain variants' }] })
    expect(row.throughput).toBeGreaterThan(0)
  }
})

describe('several devices', () => {
  it('take turns, checked alike, and are held against the first', async () => {
    const { rows, errors, command, peers, said } = await bench('train', { case: 'mlp b8', device: 'cpu,reference' })
    expect(errors).toEqual([])
    expect(command).toBe('forja bench train --device cpu,reference')
    expect(rows.map(({ case: name, device }) => [name, device])).toEqual([
      ['mlp b8', 'cpu'],
      ['mlp b8', 'reference'],
    ])
    for (const row of rows) expect(row.checked).toEqual([{ against: 'plain variants', error: expect.any(Number) }])
    const [first, second] = rows as [Row, Row]
    expect(first.ratios).toBeUndefined()
    expect(second.ratios!.cpu!.median).toBeLessThan(1)
    expect(second.percentOfBest).toBeCloseTo((100 * first.p50Ms) / second.p50Ms, 6)
    expect(first.fmaGflops).toBeUndefined()
    expect(peers).toContainEqual({ name: 'pytorch', absent: 'it takes part where one device is timed' })
    expect(said.join('\n')).toMatch(/cpu is faster than reference in 1 of 1 cases: mlp b8 \([\d.]+ times\)/)
  })

  it('train until they know MNIST, or say that it is not here', async () => {
    vi.stubEnv('FORJA_DATA_DIR', '/missing')
    vi.stubEnv('XDG_CACHE_HOME', '/missing')
    onTestFinished(() => void vi.unstubAllEnvs())
    const { rows, said } = await bench('train', { case: 'mlp b128 to', device: 'cpu,reference' })
    expect(rows).toEqual([])
    expect(said.join('\n')).toContain('mlp b128 to 98 % on MNIST: not measured (MNIST: train-images')
  })
})

describe('training until a network is good enough', () => {
  const learn = async (data: fj.data.Splits) => {
    const rows: Row[] = []
    const failures: string[] = []
    const context: SuiteContext = {
      device: 'cpu',
      devices: ['cpu', 'cpu'],
      precision: 'float32',
      threads: 1,
      ceilings: {},
      peers: [],
      seconds: 1,
      ladder: false,
      wants: (name) => name.startsWith('mlp'),
      report: (row) => void rows.push(row),
      fail: (name, error) => void failures.push(`${name} failed: ${(error as Error).message}`),
      say: () => {},
    }
    await accuracySuite(context, async () => data)
    return { rows, failures }
  }

  it('gives seconds, epochs and accuracy, of each device', async () => {
    const { train } = await fj.data.syntheticDigits({ train: 1280, test: 1 })
    const { rows, failures } = await learn({ train, test: train })
    expect(failures).toEqual([])
    expect(rows).toHaveLength(2)
    for (const row of rows) {
      expect(row).toMatchObject({ suite: 'train', case: 'mlp b128 to 98 % on MNIST', device: 'cpu', dtype: 'float32' })
      expect(row.accuracy).toBeGreaterThanOrEqual(0.98)
      expect(row.epochMs).toBeGreaterThan(0)
      expect(row.epochMs! * row.epochs!).toBeLessThanOrEqual(row.p50Ms * (1 + 1e-9))
      expect(row.throughput).toBeCloseTo((1000 * 1280 * row.epochs!) / row.p50Ms, 3)
    }
    const [first, second] = rows as [Row, Row]
    expect(first.ratios).toBeUndefined()
    expect(second.ratios!.cpu!.median).toBeCloseTo(first.p50Ms / second.p50Ms, 9)
  })

  it('that never is has no row', async () => {
    const { rows, failures } = await learn(await fj.data.syntheticDigits({ train: 10, test: 200 }))
    expect(rows).toEqual([])
    expect(failures).toEqual([
      expect.stringMatching(/^mlp b128 to 98 % on MNIST failed: .*: [\d.]+ % on cpu after 20 epochs$/),
    ])
  })
})

it('files of a GPU are named by date and GPU', () => {
  expect(fileName(new Date('2026-01-02T03:04:05Z'), 'NVIDIA H200', 'conv')).toBe('2026-01-02-nvidia-h200-conv.json')
})

it.each<[Parameters<typeof runBench>[0], BenchOptions, string, RegExp]>([
  [
    'matmul',
    { device: 'cpu,reference' },
    'ERR_ARGUMENT',
    /cases of matmul do not compare devices \('cpu,reference'\); those of/,
  ],
  ['train', { device: 'cpu, cpu' }, 'ERR_ARGUMENT', /a device is named twice: 'cpu, cpu'/],
  [
    'ops',
    { precision: 'tf32' },
    'ERR_ARGUMENT',
    /cases of ops have no precision 'tf32'; those of matmul, conv, train and infer do/,
  ],
  ['infer', { precision: 'bfloat16' }, 'ERR_ARGUMENT', /precision 'bfloat16' needs a GPU; the device is 'cpu'/],
  [
    'matmul',
    { case: 'nothing' },
    'ERR_ARGUMENT',
    /no case of matmul has 'nothing' in its name\n {2}hint {2}its cases are 32x32x32, /,
  ],
  [
    'matmul',
    { threads: 4096 },
    'ERR_ARGUMENT',
    /4096 threads; this process may use \d+ processors?\n {2}hint {2}more threads, /,
  ],
  ['train', { ladder: true }, 'ERR_ARGUMENT', /train has no ladder; those of matmul and conv do/],
  ['matmul', { device: 'toaster' }, 'ERR_DEVICE', /unknown device 'toaster'/],
])('%s with %j is refused', async (suite, options, code, message) => {
  await expect(bench(suite, options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})

describe('measure', () => {
  const context = (rows: Row[]): SuiteContext => ({
    device: 'cpu',
    devices: ['cpu'],
    precision: 'float32',
    threads: 1,
    ceilings: {},
    peers: [],
    seconds: 0.001,
    ladder: false,
    wants: () => true,
    report: (row) => void rows.push(row),
    fail: () => {},
    say: () => {},
  })
  const kase = {
    suite: 'x',
    name: 'case',
    entrants: [{ variant: 'v', result: [1], call: async () => 1 }],
    task: { case: { kind: 'x' }, arrays: {} },
    tolerance: 1e-3,
  }

  it('refuses to time what was compared with nothing', async () => {
    const rows: Row[] = []
    await expect(measure(context(rows), kase)).rejects.toThrow('case: nothing to compare with')
    expect(rows).toEqual([])
  })

  const wrong = async () => {
    throw new Error('wrong')
  }

  it('leaves out, of several ways, those with a wrong result', async () => {
    const rows: Row[] = []
    const failures: unknown[] = []
    const [right] = kase.entrants as [(typeof kase.entrants)[0]]
    const entrants = [right, { ...right, variant: 'rough' }, { ...right, variant: 'rougher', tolerance: 1 }]
    const check = async (_: ArrayLike<number>, name: string, tolerance: number) =>
      name.endsWith('rough') ? wrong() : { against: 'truth', error: tolerance }
    const listening = {
      ...context(rows),
      fail: (name: string, error: unknown) => void failures.push([name, `${error}`]),
    }
    await measure(listening, { ...kase, entrants, check })
    expect(failures).toEqual([['case', 'Error: wrong']])
    expect(rows.map(({ variant, checked }) => [variant, checked![0]!.error])).toEqual([
      ['v', 1e-3],
      ['rougher', 1],
    ])
  })

  it('times the others where a peer fails', async () => {
    const rows: Row[] = []
    const failures: unknown[] = []
    const right = async () => Float32Array.of(1)
    let turns = 0
    const tiring = async () => (++turns < 3 ? [2] : wrong())
    const peer = (
      name: string,
      prepare: () => Promise<Float32Array>,
      turn: () => Promise<number[]> = async () => [2],
    ) => ({ name, prepare, turn }) as unknown as SuiteContext['peers'][number]
    const peers = [peer('ill', wrong), peer('dizzy', right, wrong), peer('tired', right, tiring), peer('well', right)]
    await measure({ ...context(rows), peers, fail: (_, error) => void failures.push(`${error}`) }, kase)
    expect(failures).toEqual(['Error: wrong', 'Error: wrong', 'Error: wrong'])
    expect(rows.map((row) => row.variant)).toEqual(['v', 'well'])
    expect(Object.keys(rows[0]!.ratios!)).toEqual(['well'])
  })

  it('gives no row for a wrong result', async () => {
    const rows: Row[] = []
    await expect(measure(context(rows), { ...kase, check: wrong })).rejects.toThrow('wrong')
    expect(rows).toEqual([])
  })
})
