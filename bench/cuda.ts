/**
 * `npm run bench:cuda`: everything that is measured on a GPU, as result files bench/results/<date>-<gpu>-<what>.json that
 * `npm run bench:report` draws. PyTorch takes part where Python has it: eager, as a captured graph, and in a run of its own
 * compiled, which takes minutes a network. What a run cannot do is said and left out; the others go on, each in a process
 * of its own: a device that one of them loses is there for the next. Files are written row by row: where a GPU is borrowed
 * for less time than all of it takes, what was measured is kept.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { type BenchOptions, type BenchSuite, runBench } from '../lib/bench/run.js'
import { positive } from '../lib/cli/arguments.js'
import { cudaStatus } from '../lib/index.js'

interface Run extends BenchOptions {
  readonly what: string
  readonly suite: BenchSuite
}

const AS_THEY_ARE = ['pytorch', 'pytorch-graph']

/** What is asked for first is measured first, should time run out; how long a compiler takes nobody knows. */
const RUNS: readonly Run[] = [
  { what: 'train', suite: 'train', device: 'cuda', peers: AS_THEY_ARE },
  { what: 'train-bfloat16', suite: 'train', device: 'cuda', precision: 'bfloat16', case: 'resnet', peers: AS_THEY_ARE },
  { what: 'matmul-ladder', suite: 'matmul', device: 'cuda', ladder: true },
  { what: 'matmul-ladder-bfloat16', suite: 'matmul', device: 'cuda', ladder: true, precision: 'bfloat16' },
  { what: 'conv-ladder', suite: 'conv', device: 'cuda', ladder: true },
  { what: 'conv-ladder-bfloat16', suite: 'conv', device: 'cuda', ladder: true, precision: 'bfloat16' },
  { what: 'ops', suite: 'ops', device: 'cuda' },
  { what: 'devices', suite: 'train', device: 'cpu,cuda' },
  { what: 'infer', suite: 'infer', device: 'cuda', peers: AS_THEY_ARE },
  { what: 'matmul', suite: 'matmul', device: 'cuda' },
  { what: 'conv', suite: 'conv', device: 'cuda' },
  {
    what: 'train-compiled',
    suite: 'train',
    device: 'cuda',
    precision: 'bfloat16',
    case: 'resnet18',
    peers: ['pytorch-compile'],
  },
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
    .option('--case <text>', 'only cases whose name contains this')
    .option('--minutes <m>', 'begin no case later than this', positive)
    .option('--no-peers', 'do not look for PyTorch')
    .option('--out <dir>', 'folder of the files', join(import.meta.dirname, 'results'))
    .parse()
  const given = command.opts<{ seconds: number; case?: string; minutes?: number; peers: boolean; out: string }>()
  const unknown = command.args.filter((name) => !RUNS.some(({ what }) => what === name))
  if (unknown.length > 0) command.error(`error: there is no ${unknown.join(', ')}`, { exitCode: 2 })
  const { available, reason, devices } = await cudaStatus()
  if (!available) command.error(`error: these benches need a GPU: ${reason}`, { exitCode: 3 })
  mkdirSync(given.out, { recursive: true })
  const wanted = RUNS.filter(({ what }) => command.args.length === 0 || command.args.includes(what))
  const end = performance.timeOrigin + (given.minutes ?? Number.POSITIVE_INFINITY) * 60_000
  const whole = wanted.length > 1
  for (const run of wanted) {
    if (Date.now() >= end) console.log(`\n=== ${run.what}: not begun, ${given.minutes} minutes are over`)
    else if (!(whole ? measuredApart(run, end) : await measured(run, devices[0]!.name, end))) process.exitCode = 1
  }

  /** By a process of its own; whether it ended well. */
  function measuredApart({ what }: Run, end: number): boolean {
    const options = ['--seconds', `${given.seconds}`, '--out', given.out]
    if (given.case !== undefined) options.push('--case', given.case)
    if (Number.isFinite(end)) options.push('--minutes', `${(end - Date.now()) / 60_000}`)
    if (!given.peers) options.push('--no-peers')
    const args = [...process.execArgv, import.meta.filename, what, ...options]
    return spawnSync(process.execPath, args, { stdio: 'inherit' }).status === 0
  }

  /** Whether all went well. */
  async function measured({ what, suite, ...run }: Run, gpu: string, until: number): Promise<boolean> {
    const listener = {
      row: () => {},
      error: ({ message }: { message: string }) => console.log(`error: ${message}`),
      say: (text: string) => console.log(text),
    }
    console.log(`\n=== ${what}`)
    const options = {
      ...run,
      seconds: given.seconds,
      case: given.case ?? run.case,
      peers: given.peers && (run.peers ?? true),
      out: join(given.out, fileName(new Date(), gpu, what)),
      until,
    }
    try {
      const { errors } = await runBench(suite, options, listener)
      return errors.length === 0
    } catch (error) {
      console.log(`error: ${what}: ${error instanceof Error ? error.message : String(error)}`)
      return false
    }
  }
}
