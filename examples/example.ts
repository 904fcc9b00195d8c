/** What every example shares: quick mode, where pictures go, the time it took. */
import { mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { plot } from 'forja'

/** Small data and few epochs, so that all examples run as a test; set by --quick. */
export const quick = process.env.FORJA_EXAMPLE_QUICK === '1'

const start = performance.now()

/** Writes examples/out/NAME.svg and says so. */
export async function draw(name: string, chart: plot.Chart): Promise<void> {
  const folder = join(import.meta.dirname, 'out')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${name}.svg`)
  await chart.save(path)
  console.log(`Drawn: ${relative(process.cwd(), path)}`)
}

/** The last line of an example: what came out, and the seconds since it began. */
export function finish(result: string): void {
  console.log(`\n${result} (${((performance.now() - start) / 1000).toFixed(1)} s${quick ? ', quick mode' : ''})`)
}
