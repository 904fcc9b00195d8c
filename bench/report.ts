/**
 * `npm run bench:report -- [FILE...] [--out DIR]`: what `forja bench --out` wrote, by default all of bench/results, as
 * one HTML page that needs nothing else, and its charts as SVG files beside it.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Command } from 'commander'
import type { BenchResult } from '../lib/bench/run.js'
import { figuresOf } from './report/charts.js'
import { page, type Section } from './report/page.js'

const RESULTS = join(import.meta.dirname, 'results')

/** Writes DIR/index.html and DIR/<result>-<chart>.svg; their paths. */
export async function writeReport(files: readonly string[], out: string): Promise<string[]> {
  mkdirSync(out, { recursive: true })
  const written: string[] = []
  const write = (name: string, text: string) => {
    writeFileSync(join(out, name), text)
    written.push(join(out, name))
  }
  const sections: Section[] = []
  for (const file of files) {
    const name = basename(file, '.json')
    const result = readResult(file)
    const figures: { caption: string; svg: string }[] = []
    for (const { name: figure, caption, chart } of figuresOf(name, result)) {
      const svg = await chart.svg()
      write(`${figure}.svg`, svg)
      figures.push({ caption, svg })
    }
    sections.push({ name, result, figures })
  }
  write('index.html', page(sections))
  return written
}

function readResult(file: string): BenchResult {
  const result = JSON.parse(readFileSync(file, 'utf8')) as Partial<BenchResult>
  if (!Array.isArray(result.rows) || !result.machine || !Array.isArray(result.peers) || !Array.isArray(result.errors))
    throw new Error(`${file} is not what forja bench --out writes: it needs machine, peers, rows and errors`)
  return result as BenchResult
}

if (process.argv[1] === import.meta.filename) {
  const command = new Command('bench:report')
    .description('the results of benches as one page and its charts')
    .argument('[files...]', 'what forja bench --out wrote; default: all of bench/results')
    .option('--out <dir>', 'folder of the page', join(import.meta.dirname, 'out'))
    .parse()
  const given = command.args
  const files =
    given.length > 0
      ? given
      : readdirSync(RESULTS)
          .filter((f) => f.endsWith('.json'))
          .map((f) => join(RESULTS, f))
  for (const path of await writeReport(files.sort(), command.opts<{ out: string }>().out)) console.log(path)
}
