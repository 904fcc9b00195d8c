/**
 * `npm run bench:cuda`: everything that is measured on a GPU, as result files bench/results/<date>-<gpu>-<what>.json that
 * `npm run bench:report` draws. PyTorch takes part where Python has it: eager, as a captured graph, compiled. What a run
 * cannot do is said and left out; the others go on.
 */
import { join } from 'node:path'
import { Command } from 'commander'
import { type BenchOptions, type BenchSuite, runBench } from '../lib/bench/run.js'
import { positive } from '../lib/cli/arguments.js'
import { cudaStatus } from '../lib/index.js'

interface Run extends BenchOptions {
  readonly what: string
  readonly suite: BenchSuite
}

/** What is asked for first is measured first, should time run out. */
const RUNS: readonly Run[] = [
  { what: 'train', suite: 'train', device: 'cuda' },
  { what: 'train-bfloat16', suite: 'train', device: 'cuda', precision: 'bfloat16' },
  { what: 'devices', suite: 'train', device: 'cpu,cuda' },
  { what: 'matmul', suite: 'matmul', device: 'cuda' },
  { what: 'conv', suite: 'conv', device: 'cuda' },
  { what: 'ops', suite: 'ops', device: 'cuda' },
  { what: 'infer', suite: 'infer', device: 'cuda' },
  { what: 'matmul-ladder', suite: 'matmul', device: 'cuda', ladder: true },
]

/** "NVIDIA H200" → "nvidia-h200" */
export function fileName(date: Date, gpu: string, what: string): string {
  const words = gpu.toLowerCase().match(/[a-z0-9]+/g) ?? ['gpu']
  return `${date.toISOString().slice(0, 10)}-${words.join('-')}-${what}.json`
}

if (process.argv[1] === import.meta.filename) {
  const command = new Command('bench:cuda')
    .description('all benches of a GPU, as files in bench/results')
    .argument('[what...]', `default: all of ${RUNS.map(({ what }) => what).join(', ')}`)
    .option('--seconds <s>', 'for each case, all contenders together', positive, 3)
    .option('--no-peers', 'do not look for PyTorch, whose compiler takes minutes a network')
    .option('--out <dir>', 'folder of the files', join(import.meta.dirname, 'results'))
    .parse()
  const { seconds, peers, out } = command.opts<{ seconds: number; peers: boolean; out: string }>()
  const unknown = command.args.filter((name) => !RUNS.some(({ what }) => what === name))
  if (unknown.length > 0) command.error(`error: there is no ${unknown.join(', ')}`, { exitCode: 2 })
  const { available, reason, devices } = await cudaStatus()
  if (!available) command.error(`error: these benches need a GPU: ${reason}`, { exitCode: 3 })
  const wanted = RUNS.filter(({ what }) => command.args.length === 0 || command.args.includes(what))
  for (const { what, suite, ...options } of wanted) {
    const file = join(out, fileName(new Date(), devices[0]!.name, what))
    const listener = {
      row: () => {},
      error: ({ message }: { message: string }) => console.log(`error: ${message}`),
      say: (text: string) => console.log(text),
    }
    console.log(`\n=== ${what}`)
    try {
      const { errors } = await runBench(suite, { seconds, peers, ...options, out: file }, listener)
      if (errors.length > 0) process.exitCode = 1
    } catch (error) {
      console.log(`error: ${what}: ${error instanceof Error ? error.message : String(error)}`)
      process.exitCode = 1
    }
  }
}
