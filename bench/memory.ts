/**
 * `npm run bench:memory -- [--batch N] [--threads N]`: the memory that training resnet20Cifar takes, beside PyTorch's.
 * Each trains for a few steps in a process of its own, which prints one line of JSON: its peak of resident memory, and
 * what that was (`base`) before there was a network.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Command } from 'commander'
import { pythons } from '../lib/bench/peers.js'
import * as fj from '../lib/index.js'
import { VERSION } from '../lib/version.js'

const STEPS = 5

interface Peak {
  version: string
  /** Bytes. */
  base: number
  peak: number
  parameters: number
  /** The line of explain() on memory. */
  plan?: string
}

async function train(batch: number, threads: number): Promise<Peak> {
  await fj.setThreads(threads)
  await fj.add(fj.ones([1]), 1).data()
  const resident = () => process.resourceUsage().maxRSS * 1024
  const base = resident()
  const model = fj.models.create('resnet20Cifar')
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
  const step = fj.compile((x: fj.Tensor, labels: fj.Tensor) => {
    const loss = fj.crossEntropy(model.forward(x), labels)
    optimizer.minimize(loss)
    return { loss }
  })
  const [x, labels] = [fj.randn([batch, 3, 32, 32]), fj.randint(0, 10, [batch])]
  for (let i = 0; i < STEPS; i++) await (await step(x, labels)).loss.item()
  const parameters = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0)
  const plan = /memory: (.*)/.exec(step.explain())![1]!
  return { version: `forja ${VERSION}`, base, peak: resident(), parameters, plan }
}

function compare(batch: number, threads: number): void {
  const script = join(import.meta.dirname, 'peers', 'peak_memory.py')
  const child = ['--import', 'tsx', import.meta.filename, '--child', '--batch', `${batch}`, '--threads', `${threads}`]
  console.log(`resnet20Cifar, batch ${batch}, ${STEPS} training steps, ${threads} threads: resident memory`)
  const ours = peakOf(process.execPath, child)
  print(ours)
  const theirs = firstOf(pythons(), (python) => peakOf(python, [script, `${batch}`, `${STEPS}`, `${threads}`]))
  if (theirs === undefined) {
    console.log('PyTorch is not here: no python3 imports torch (FORJA_PYTHON names one that does)')
    return
  }
  print(theirs)
  if (theirs.parameters !== ours.parameters) throw new Error('the networks are not the same')
  const growth = ({ base, peak }: Peak) => peak - base
  const added = growth(theirs) / growth(ours)
  console.log(`PyTorch / forja: ${(theirs.peak / ours.peak).toFixed(2)}, of what training adds ${added.toFixed(2)}`)
}

function peakOf(program: string, args: string[]): Peak {
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })) as Peak
}

/** The answer of the first that has one. */
function firstOf<T>(programs: readonly string[], ask: (program: string) => T): T | undefined {
  for (const program of programs) {
    try {
      return ask(program)
    } catch {
      // not there, or without what it needs
    }
  }
  return undefined
}

function print({ version, base, peak, plan }: Peak): void {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0).padStart(6)} MB`
  console.log(`${version.padEnd(16)} peak ${megabytes(peak)}, before the network ${megabytes(base)}`)
  if (plan !== undefined) console.log(`${''.padEnd(16)} of it the plan's ${plan}`)
}

const { batch, threads, child } = new Command('bench:memory')
  .option('--batch <n>', 'images', Number, 128)
  .option('--threads <n>', 'CPU threads of both', Number, 2)
  .option('--child', 'train here and print one line of JSON')
  .parse()
  .opts<{ batch: number; threads: number; child?: boolean }>()
if (child) console.log(JSON.stringify(await train(batch, threads)))
else compare(batch, threads)
