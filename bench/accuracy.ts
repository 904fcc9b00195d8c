/**
 * `npm run bench:accuracy -- [--threads N] [--out FILE]`: what networks know of MNIST's test images after `forja train`, each
 * trained by a process of its own with the recipe of the command line and seed 1, as a result file that
 * `npm run bench:report` reads. The images come from FORJA_DATA_DIR or the user's cache folder; nothing is fetched.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Command } from 'commander'
import type { Row } from '../lib/bench/row.js'
import { type BenchResult, describeMachine } from '../lib/bench/run.js'
import { integer } from '../lib/cli/arguments.js'
import { writeFileAtomic } from '../lib/io/atomic.js'

const MODELS = ['lenet5', 'lstmClassifier', 'mlp', 'softmaxRegression']
const MAIN = join(import.meta.dirname, '..', 'lib', 'cli', 'main.ts')

/** What `forja train --json` ends with, as far as it is read here. */
interface Trained {
  event: string
  device: string
  epochs: number
  testAccuracy: number
  imagesPerSecond: number
  seconds: number
}

function train(model: string, threads: number): Row {
  const what = ['train', model, '--data', 'mnist', '--seed', '1']
  const how = ['--device', 'cpu', '--threads', `${threads}`, '--offline', '--json']
  const text = execFileSync(process.execPath, ['--import', 'tsx', MAIN, ...what, ...how], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const events = text.trimEnd().split('\n')
  const trained = JSON.parse(events.at(-1)!) as Trained
  if (trained.event !== 'result')
    throw new Error(`forja train ${model} ended with '${trained.event}', not with a result`)
  const { device, epochs, testAccuracy, imagesPerSecond, seconds } = trained
  return {
    suite: 'accuracy',
    case: `${model}, ${epochs} epochs of MNIST`,
    variant: 'forja',
    device,
    dtype: 'float32',
    p50Ms: seconds * 1000,
    minMs: seconds * 1000,
    calls: 1,
    throughput: imagesPerSecond,
    epochs,
    accuracy: testAccuracy,
    threads,
  }
}

const { threads, out } = new Command('bench:accuracy')
  .description("what networks know of MNIST's test images after training")
  .option('--threads <n>', 'CPU threads', integer(1))
  .option('--out <file>', 'write the result here')
  .parse()
  .opts<{ threads?: number; out?: string }>()
const machine = await describeMachine(threads)
const rows: Row[] = []
for (const model of MODELS) {
  rows.push(train(model, machine.threads))
  const { case: name, accuracy } = rows.at(-1)!
  console.log(`${name.padEnd(40)} ${(100 * accuracy!).toFixed(2)} %`)
}
if (out !== undefined) {
  const result: BenchResult = { command: 'npm run bench:accuracy', machine, peers: [], rows, errors: [] }
  await writeFileAtomic(out, Buffer.from(`${JSON.stringify(result, null, 2)}\n`))
  console.log(`wrote ${out}`)
}
