/** Rows of the benches: what they hold, how they look on a terminal. */
import type { Precision } from '../passes/lower.js'
import type { Ratio } from './harness.js'

/** One measurement. Fields without a meaning for a case are not there. */
export interface Row {
  readonly suite: string
  readonly case: string
  /** The kernel variant that ran, 'forja' for whole networks, or a peer's name. */
  readonly variant: string
  readonly device: string
  /** What products were computed in. */
  readonly dtype: Precision
  /** Median and fastest call. */
  readonly p50Ms: number
  readonly minMs: number
  readonly calls: number
  /** Useful operations: a convolution counts as a direct one, however it is computed, so Winograd may pass 100 %. */
  readonly gflops?: number
  readonly percentOfPeak?: number
  /** Bytes that any kernel must move between caches and memory. */
  readonly gbytes?: number
  readonly percentOfCopy?: number
  /** Samples a second. */
  readonly throughput?: number
  /**
   * The time of each peer over that of this row, from the turns of one race. Above 1 forja is faster. Where devices are
   * compared, also that of the first device, by its name.
   */
  readonly ratios?: Readonly<Record<string, Ratio>>
  /** Of the speed of the fastest peer of the case. */
  readonly percentOfBest?: number
  /** What the result was compared with, and the largest difference relative to the largest number. */
  readonly checked?: readonly { readonly against: string; readonly error: number }[]
  /** Of networks that were trained: how long, and the part of the test samples that they know then. */
  readonly epochs?: number
  readonly accuracy?: number
  /** Milliseconds of the fastest epoch: the first one also creates the program. */
  readonly epochMs?: number
  readonly peer?: true
  readonly threads: number
  /** Measured in this run, on this many threads. */
  readonly fmaGflops?: number
  readonly copyGbytes?: number
}

/** What the device can do at best, measured in this run. */
export interface Ceilings {
  readonly fmaGflops?: number
  readonly copyGbytes?: number
}

const COLUMNS = [
  ['case', 44],
  ['variant', 19],
  ['device', 10],
  ['median', 11],
  ['GFLOP/s', 9],
  ['% of peak', 11],
  ['GB/s', 7],
  ['% of copy', 11],
  ['samples/s', 11],
  ['% of best', 11],
  ['peer / forja (min .. max)', 0],
] as const

function line(cells: readonly string[]): string {
  return cells
    .map((cell, i) => (cell.length < COLUMNS[i]![1] ? cell.padEnd(COLUMNS[i]![1]) : `${cell} `))
    .join('')
    .trimEnd()
}

export function tableHeader(): string {
  return line(COLUMNS.map(([title]) => title))
}

export function tableRow(row: Row): string {
  const percent = (value: number | undefined) => (value === undefined ? '' : `${value.toFixed(1)} %`)
  return line([
    row.case,
    row.variant,
    deviceOf(row),
    formatMs(row.p50Ms),
    row.gflops?.toFixed(1) ?? '',
    percent(row.percentOfPeak),
    row.gbytes?.toFixed(1) ?? '',
    percent(row.percentOfCopy),
    row.throughput?.toFixed(0) ?? '',
    percent(row.percentOfBest),
    Object.entries(row.ratios ?? {})
      .map(([peer, { median, min, max }]) => `${peer} ${median.toFixed(2)} (${min.toFixed(2)} .. ${max.toFixed(2)})`)
      .join(' · '),
  ])
}

/** With the precision where that is not float32. */
export function deviceOf({ device, dtype }: Row): string {
  return dtype === 'float32' ? device : `${device} ${dtype}`
}

export function formatMs(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`
  return ms >= 1 ? `${ms.toFixed(2)} ms` : `${(ms * 1000).toFixed(1)} µs`
}
