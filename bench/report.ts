/** Rows of the benches: what they hold, how they look on a terminal and as JSON. */
import type { PyTorchPeer } from './peers/pytorch.js'

export interface Row {
  suite: string
  case: string
  /** Kernel variant, 'forja', or the peer's name. */
  variant: string
  dtype: string
  p50Ms: number
  gflops?: number
  /** Images a second. */
  throughput?: number
  /** The peer's time over ours in the same run: median, smallest and largest of the turns. */
  ratio?: { median: number; min: number; max: number }
}

export interface Ceilings {
  threads: number
  fmaGflops: number
  copyGbytes: number
}

export interface SuiteContext {
  readonly peer: PyTorchPeer | null
  readonly threads: number
  /** Seconds to spend on a case. */
  readonly seconds: number
  wants(name: string): boolean
  report(row: Row): void
}

export interface CompleteRow extends Row, Ceilings {
  device: string
  percentOfPeak?: number
}

export function completeRow(row: Row, ceilings: Ceilings): CompleteRow {
  const complete: CompleteRow = { ...row, device: 'cpu', ...ceilings }
  if (row.gflops !== undefined) complete.percentOfPeak = (100 * row.gflops) / ceilings.fmaGflops
  return complete
}

const COLUMNS = [
  ['case', 26],
  ['variant', 10],
  ['p50', 12],
  ['GFLOP/s', 9],
  ['% of FMA peak', 14],
  ['images/s', 10],
  ['torch / ours (min..max)', 26],
  ['machine', 0],
] as const

export function tableHeader(): string {
  return COLUMNS.map(([title, width]) => title.padEnd(width))
    .join('')
    .trimEnd()
}

export function tableRow(row: CompleteRow): string {
  const { ratio } = row
  const cells = [
    row.case,
    row.variant,
    row.p50Ms >= 1 ? `${row.p50Ms.toFixed(2)} ms` : `${(row.p50Ms * 1000).toFixed(1)} µs`,
    row.gflops?.toFixed(1) ?? '',
    row.percentOfPeak === undefined ? '' : `${row.percentOfPeak.toFixed(1)} %`,
    row.throughput?.toFixed(0) ?? '',
    ratio ? `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}..${ratio.max.toFixed(2)})` : '',
    `peak ${row.fmaGflops.toFixed(0)} GFLOP/s, copy ${row.copyGbytes.toFixed(1)} GB/s, ${row.threads} thread${row.threads > 1 ? 's' : ''}`,
  ]
  return cells
    .map((cell, i) => cell.padEnd(COLUMNS[i]![1]))
    .join('')
    .trimEnd()
}
