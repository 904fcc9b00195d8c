import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { writeReport } from '../../bench/report.js'
import type { Row } from '../../lib/bench/row.js'
import type { BenchResult } from '../../lib/bench/run.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-report-'))
afterAll(() => rmSync(folder, { recursive: true }))

const common = { device: 'cpu', dtype: 'float32', threads: 2, calls: 7, fmaGflops: 200, copyGbytes: 40 } as const
const ours = (fields: Partial<Row>) => ({ ...common, p50Ms: 2, minMs: 1.5, checked: [], ...fields }) as Row
const ratios = { pytorch: { median: 1.234, min: 1.1, max: 1.4 } }

function resultOf(rows: readonly Row[], fields: Partial<BenchResult> = {}): BenchResult {
  const machine = {
    cpu: 'A <fast> CPU',
    isa: 'avx512',
    threads: 2,
    node: 'v20',
    revision: 'abc',
    date: '2026-01-02T03:04:05Z',
    fmaGflops: 200,
    copyGbytes: 40,
  }
  const peers = [
    { name: 'pytorch', version: 'PyTorch 9' },
    { name: 'openblas', absent: 'not found' },
  ]
  return { command: `forja bench ${rows[0]?.suite}`, machine, peers, rows, errors: [], ...fields }
}

async function report(name: string, result: unknown): Promise<{ names: string[]; page: string }> {
  const file = join(folder, `${name}.json`)
  writeFileSync(file, JSON.stringify(result))
  const out = join(folder, name)
  await writeReport([file], out)
  return { names: readdirSync(out).sort(), page: readFileSync(join(out, 'index.html'), 'utf8') }
}

const conv = (name: string): Row[] => [
  ours({ suite: 'conv', case: name, variant: 'implicit', gflops: 150, gbytes: 10, percentOfPeak: 75, ratios }),
  ours({ suite: 'conv', case: name, variant: 'pytorch', peer: true, gflops: 120, gbytes: 8 }),
]

describe('the page', () => {
  it('holds pictures, figures and what was absent, and needs nothing else', async () => {
    const rows = [...conv('vgg16 3x3 64-64 @224 b4 forward'), ...conv('vgg16 3x3 64-64 @224 b4 gradInput')]
    const errors = [{ suite: 'conv', case: 'x', message: 'x: results differ' }]
    const { names, page } = await report('conv', resultOf(rows, { errors, unfinished: true }))
    expect(page).toContain('The run was cut short')
    expect((await report('whole', resultOf(rows))).page).not.toContain('cut short')
    expect(names).toEqual(['conv-roofline.svg', 'conv-vgg16-forward.svg', 'conv-vgg16-gradInput.svg', 'index.html'])
    expect(page.match(/<svg /g)).toHaveLength(3)
    expect(page).not.toMatch(/<(script|link|img)|@import|url\((?!#)/)
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map((match) => match[1])
    expect(new Set(ids).size).toBe(ids.length)
    expect(page).toContain('A &lt;fast&gt; CPU')
    expect(page).toContain('openblas absent (not found)')
    expect(page).toContain('no row: x: results differ')
    expect(page).toContain('<td>75.0 %</td>')
    expect(page).toContain('<td>1.23 (1.10 .. 1.40)</td>')
    expect(page).toContain('<th>pytorch / forja</th>')
    // No row has a share of the copy, so there is no such column.
    expect(page).not.toContain('% of copy')
  })

  it('compares devices over the batch', async () => {
    const row = (device: string, batch: number, more: Partial<Row> = {}) =>
      ours({ suite: 'train', case: `mlp b${batch}`, variant: 'forja', device, throughput: 100 * batch, ...more })
    const faster = { cpu: { median: 5, min: 4, max: 6 } }
    const rows = [8, 512].flatMap((batch) => [
      row('cpu', batch),
      row('cuda:0', batch, { dtype: 'bfloat16', ratios: faster }),
    ])
    rows.push(ours({ suite: 'train', case: 'mlp b128 to 98 % on MNIST', variant: 'forja', epochs: 4, throughput: 9 }))
    const result = resultOf(rows)
    const gpu = { id: 'cuda:0', name: 'A <GPU>', isa: 'compute 9.0', libraries: ['cuBLASLt 13.1.0', 'no cuDNN'] }
    const { names, page } = await report('both', { ...result, machine: { ...result.machine, gpus: [gpu] } })
    expect(names).toEqual(['both-devices.svg', 'index.html'])
    expect(page).toContain('<td>cuda:0 bfloat16</td>')
    expect(page).toContain('<td>cpu</td>')
    expect(page).toContain('<th>cpu / forja</th>')
    expect(page).toContain('<th>epochs</th>')
    expect(page).toContain('cuda:0: A &lt;GPU&gt; · compute 9.0 · cuBLASLt 13.1.0 · no cuDNN')
  })

  it.each<[string, Row[], string[]]>([
    ['ops', [ours({ suite: 'ops', case: 'relu', variant: 'forja', gbytes: 30, percentOfCopy: 75 })], ['ops-copy.svg']],
    [
      'train',
      [ours({ suite: 'train', case: 'mlp b128', variant: 'forja', gflops: 50, throughput: 9, ratios })],
      ['train-gflops.svg', 'train-ratios.svg'],
    ],
    ['alone', [ours({ suite: 'infer', case: 'mlp b128', variant: 'forja', gflops: 50 })], ['alone-gflops.svg']],
    ['empty', [], []],
  ])('draws what %s has', async (name, rows, pictures) => {
    const { names } = await report(name, resultOf(rows))
    expect(names).toEqual([...pictures, 'index.html'].sort())
  })

  it('draws a ladder as one picture', async () => {
    const rows = ['naive', 'simd'].map((variant, i) =>
      ours({ suite: 'matmul', case: '8x8x8', variant, gflops: 10 ** i, gbytes: 1 }),
    )
    const { names } = await report('ladder', resultOf(rows, { command: 'forja bench matmul --ladder' }))
    expect(names).toEqual(['index.html', 'ladder.svg'])
    expect(readFileSync(join(folder, 'ladder', 'ladder.svg'), 'utf8')).toContain('naive')
  })

  it('refuses a file that is no result', async () => {
    await expect(report('other', { rows: [] })).rejects.toThrow(/other\.json is not what forja bench --out writes/)
  })

  it('reads the results of this repository', async () => {
    const results = join(import.meta.dirname, '../../bench/results')
    const files = readdirSync(results).map((name) => join(results, name))
    await writeReport(files, join(folder, 'all'))
    for (const file of files)
      expect(readFileSync(join(folder, 'all', 'index.html'), 'utf8')).toContain(file.split('/').at(-1)!.slice(0, -5))
  })
})
