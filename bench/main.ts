/**
 * `npm run bench -- <suite>`: runs a suite with its peers and prints a row per measurement; see --help.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { devices, setThreads } from '../lib/index.js'
import { measureCeilings } from '../lib/runtime/devices.js'
import { PyTorchPeer } from './peers/pytorch.js'
import { type CompleteRow, completeRow, type SuiteContext, tableHeader, tableRow } from './report.js'
import { matmulSuite } from './suites/matmul.js'
import { trainSuite } from './suites/train.js'

const SUITES = { matmul: matmulSuite, train: trainSuite }

interface Options {
  case?: string
  threads: number
  seconds: number
  json?: boolean
  out?: string
  peer: boolean
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('a positive number was expected')
  return value
}

const program = new Command('bench')
  .argument('<suite>', `one of ${Object.keys(SUITES).join(', ')}`)
  .option('--case <text>', 'only cases whose name contains this')
  .option('--threads <n>', 'CPU threads, for forja and for the peer', positive, cpus().length)
  .option('--seconds <s>', 'time for each case, all contenders together', positive, 6)
  .option('--json', 'one JSON object a line on stdout')
  .option('--out <file>', 'also write all rows, with the machine, to a JSON file')
  .option('--no-peer', 'do not look for PyTorch')
  .addHelpText(
    'after',
    '\nExamples:\n  npm run bench -- matmul --threads 1\n  npm run bench -- train --out bench/results/my-machine.json',
  )
  .action(run)

async function run(suite: string, options: Options): Promise<void> {
  const chosen = SUITES[suite as keyof typeof SUITES]
  if (!chosen)
    program.error(`unknown suite '${suite}'; expected one of ${Object.keys(SUITES).join(', ')}`, { exitCode: 2 })
  await setThreads(options.threads)
  const limits = { threads: options.threads, ...(await measureCeilings(options.threads)) }
  const peer = options.peer ? await PyTorchPeer.start(options.threads) : 'switched off by --no-peer'
  const device = (await devices()).find((d) => d.kind === 'cpu')!
  const say = (text: string) => process.stderr.write(`${text}\n`)
  say(`${device.name} · ${device.isa} · ${options.threads} thread(s) · Node ${process.version} · ${gitRevision()}`)
  say(
    typeof peer === 'string'
      ? `PyTorch: absent (${peer})`
      : `PyTorch ${peer.version.torch}: ${peer.version.config
          .slice(1, 6)
          .map((c) => c.trim())
          .join(' · ')}`,
  )
  if (!options.json) say(`\n${tableHeader()}`)
  const rows: CompleteRow[] = []
  const context: SuiteContext = {
    peer: typeof peer === 'string' ? null : peer,
    threads: options.threads,
    seconds: options.seconds,
    wants: (name) => options.case === undefined || name.includes(options.case),
    report: (row) => {
      const complete = completeRow(row, limits)
      rows.push(complete)
      if (options.json) process.stdout.write(`${JSON.stringify({ event: 'row', ...complete })}\n`)
      else say(tableRow(complete))
    },
  }
  try {
    await chosen(context)
  } finally {
    context.peer?.stop()
  }
  if (options.out) {
    const machine = {
      cpu: device.name,
      isa: device.isa,
      node: process.version,
      revision: gitRevision(),
      date: new Date().toISOString(),
    }
    const torch = typeof peer === 'string' ? null : peer.version
    mkdirSync(dirname(options.out), { recursive: true })
    writeFileSync(
      options.out,
      `${JSON.stringify({ command: `bench ${process.argv.slice(2).join(' ')}`, machine, torch, rows }, null, 2)}\n`,
    )
    say(`\nwrote ${options.out}`)
  }
}

function gitRevision(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'no revision'
  }
}

await program.parseAsync()
