/** `forja bench <suite>`: times kernels and networks beside other libraries. */
import { Argument, type Command, Option } from 'commander'
import type { Precision } from '../passes/lower.js'
import { positive, threadCount } from './arguments.js'
import { checkWritable, EXIT, examples, Output } from './output.js'

interface Options {
  case?: string
  device: string
  precision: Precision
  threads?: number
  seconds: number
  ladder?: boolean
  peers: boolean
  out?: string
  json?: boolean
}

/** The measuring code is loaded when it is needed. */
const SUITES = ['matmul', 'conv', 'ops', 'train', 'infer'] as const

export function addBench(program: Command): void {
  program
    .command('bench')
    .description('time kernels and networks, beside other libraries where they are installed')
    .addArgument(new Argument('<suite>', 'what is timed').choices(SUITES))
    .option('--case <text>', 'only cases whose name contains this')
    .option('--device <name>', 'cpu, cuda, cuda:<n> or reference; train, infer: also several, as cpu,cuda', 'cpu')
    .addOption(
      new Option('--precision <name>', 'all but ops: what products on GPUs are computed in')
        .choices(['float32', 'tf32', 'bfloat16'])
        .default('float32'),
    )
    .option(
      '--threads <n>',
      'CPU threads, of forja and of its peers; default: FORJA_NUM_THREADS, else one a processor',
      threadCount,
    )
    .option('--seconds <s>', 'for each case, all contenders together', positive, 6)
    .option('--ladder', 'matmul and conv: every variant, from the naive to the fastest')
    .option('--no-peers', 'do not look for other libraries')
    .option('--out <file>', 'write machine, peers and rows to a JSON file')
    .option('--json', 'one JSON object a line on stdout')
    .addHelpText(
      'after',
      `${examples(
        'forja bench matmul --ladder',
        'forja bench conv --case vgg16 --threads 1 --out vgg16.json',
        'forja bench train --device cpu,cuda --out devices.json',
        'forja bench train --json | jq .ratios',
      )}

A ratio is the peer's time over forja's, median (smallest .. largest) of turns taken in one run: above 1 forja is faster.
Several devices are compared over sizes of the batch, the first one's time over each other's; train also says how long a
network takes to 98 % on MNIST where the data is.
Results are compared before they are timed; what differs or fails has no row, is an error and ends in exit code 1.`,
    )
    .action((suite: (typeof SUITES)[number], options: Options) => bench(suite, options))
}

async function bench(suite: (typeof SUITES)[number], options: Options): Promise<void> {
  const output = new Output(options.json === true)
  if (options.out !== undefined) await checkWritable('--out', options.out)
  const { runBench } = await import('../bench/run.js')
  const { errors } = await runBench(suite, options, {
    row: (row) => output.event('row', row),
    error: (failure) => {
      output.event('error', failure)
      output.say(`error: ${failure.message}`)
    },
    say: (text) => output.say(text),
  })
  if (errors.length === 0) return
  const cases = [...new Set(errors.map((e) => e.case))]
  output.say(`\n${cases.length} case${cases.length > 1 ? 's' : ''} with errors: ${cases.join(', ')}`)
  process.exitCode = EXIT.failed
}
