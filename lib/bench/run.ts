/** `forja bench`: runs a suite with the peers that are here, reports rows, writes them to a file. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { ForjaError } from '../errors.js'
import { devices as allDevices, cudaStatus, setSeed, setThreads } from '../index.js'
import { writeFileAtomic } from '../io/atomic.js'
import type { Precision } from '../passes/lower.js'
import { resolveDevice } from '../runtime/device.js'
import { type CpuDeviceInfo, measureCeilings } from '../runtime/devices.js'
import { VERSION } from '../version.js'
import { convSuite } from './conv.js'
import { matmulSuite } from './matmul.js'
import { inferSuite, trainSuite } from './networks.js'
import { opsSuite } from './ops.js'
import { type AbsentPeer, Peer, peerSpecs } from './peers.js'
import { type Ceilings, type Row, tableHeader, tableRow } from './row.js'
import type { SuiteContext } from './suite.js'

const SUITES = {
  matmul: matmulSuite,
  conv: convSuite,
  ops: opsSuite,
  train: trainSuite,
  infer: inferSuite,
}

export type BenchSuite = keyof typeof SUITES

const LADDERS = ['matmul', 'conv']
const NETWORKS = ['train', 'infer']
const PRECISE = ['matmul', 'conv', ...NETWORKS]

export interface BenchOptions {
  /** Only cases whose name contains this. */
  case?: string
  /** Default 'cpu'. Of train and infer several, separated by commas, which are compared with the first. */
  device?: string
  /** What products are computed in, on GPUs. Default 'float32'. */
  precision?: Precision
  threads?: number
  /** For each case, all contenders together. Default 6. */
  seconds?: number
  ladder?: boolean
  /** All that are here (default), none, or those of these names. */
  peers?: boolean | readonly string[]
  /** Rows go to this file as well, each when it is there: what a run that is cut short has measured is not lost. */
  out?: string
  /** No case is begun from here on, as Date.now(). */
  until?: number
}

/** Where a run tells what it does. */
export interface BenchListener {
  row(row: Row): void
  error(failure: Failure): void
  /** For people. */
  say(text: string): void
}

export interface Failure {
  readonly suite: string
  readonly case: string
  readonly message: string
}

/** A GPU that was timed, and what it runs with. */
interface Gpu {
  readonly id: string
  readonly name: string
  readonly isa: string
  /** "cuBLASLt 13.1.0", or "no cuDNN". */
  readonly libraries: readonly string[]
}

/** What was measured on, when, of which sources. */
export interface Machine {
  readonly cpu: string
  readonly isa: string
  readonly threads: number
  readonly node: string
  readonly revision: string
  readonly date: string
}

/** What --out writes and `npm run bench:report` reads. */
export interface BenchResult {
  readonly command: string
  readonly machine: Machine & { readonly gpus?: readonly Gpu[] } & Ceilings
  readonly peers: readonly ({ readonly name: string; readonly version: string } | AbsentPeer)[]
  readonly rows: readonly Row[]
  readonly errors: readonly Failure[]
  /** Of a run that was cut short: rows are missing. */
  readonly unfinished?: true
}

/**
 * Runs a suite; what fails, a case, one of its variants or a peer, is in `errors`, never in `rows`.
 *
 * @throws ERR_DEVICE for a device that is not here; ERR_ARGUMENT where no case has the name that was asked for, the suite
 *   has no ladder, does not compare devices or has no precision to choose, and for more threads than processors.
 */
export async function runBench(
  suite: BenchSuite,
  options: BenchOptions,
  listener: BenchListener,
): Promise<BenchResult> {
  if (options.ladder && !LADDERS.includes(suite)) {
    throw new ForjaError('ERR_ARGUMENT', `${suite} has no ladder; those of ${LADDERS.join(' and ')} do`)
  }
  const { precision = 'float32' } = options
  const devices = devicesOf(suite, options.device ?? 'cpu', precision)
  const processors = availableParallelism()
  if (options.threads !== undefined && options.threads > processors) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${options.threads} threads; this process may use ${processors} processor${processors > 1 ? 's' : ''}`,
      { hint: 'more threads, those of other libraries above all, would be timed waiting for each other' },
    )
  }
  const known = await describeMachine(options.threads)
  const { threads } = known
  const isWanted = (name: string) => options.case === undefined || name.includes(options.case)
  const rows: Row[] = []
  const errors: Failure[] = []
  const context: Omit<SuiteContext, 'ceilings' | 'peers'> = {
    device: devices[0]!,
    devices,
    precision,
    threads,
    seconds: options.seconds ?? 6,
    ladder: options.ladder ?? false,
    wants: isWanted,
    report: async (row) => {
      rows.push(row)
      await write({ ...result(), unfinished: true })
      listener.row(row)
      listener.say(tableRow(row))
    },
    fail: async (name, error) => {
      const failure = { suite, case: name, message: error instanceof Error ? error.message : String(error) }
      errors.push(failure)
      await write({ ...result(), unfinished: true })
      listener.error(failure)
    },
    say: listener.say,
  }
  const names = await namesOf(suite, context)
  if (!names.some(isWanted)) {
    throw new ForjaError('ERR_ARGUMENT', `no case of ${suite} has '${options.case}' in its name`, {
      hint: `its cases are ${names.join(', ')}`,
    })
  }
  await setThreads(threads)
  setSeed(1)
  const [device] = devices as [string]
  // Those of several devices have no common ceiling, nor have operands of other precisions that of float32.
  const isKnown = devices.length === 1 && precision === 'float32' && device !== 'reference'
  const ceilings: Ceilings = isKnown ? await measureCeilings(threads, device) : {}
  const gpus = await gpusOf(devices)
  const machine = { ...known, ...(gpus.length > 0 ? { gpus } : {}), ...ceilings }
  listener.say(
    `${devices.join(', ')}: ${machine.cpu} · ${machine.isa} · ${threads} thread${threads > 1 ? 's' : ''} · Node ${machine.node}`,
  )
  for (const { id, name, isa, libraries } of gpus) listener.say([`${id}: ${name}`, isa, ...libraries].join(' · '))
  const { fmaGflops, copyGbytes } = ceilings
  if (fmaGflops !== undefined && copyGbytes !== undefined)
    listener.say(`measured now: multiply-add peak ${fmaGflops.toFixed(0)} GFLOP/s, copy ${copyGbytes.toFixed(1)} GB/s`)
  const peers = await startPeers(suite, options.peers ?? true, threads, devices)
  for (const peer of peers)
    listener.say(peer instanceof Peer ? `${peer.name}: ${peer.version}` : `${peer.name}: absent (${peer.absent})`)
  listener.say(`\n${tableHeader()}`)

  const result = (): BenchResult => ({
    command: commandOf(suite, options),
    machine,
    peers: peers.map((peer) => (peer instanceof Peer ? { name: peer.name, version: peer.version } : peer)),
    rows,
    errors,
  })
  const { out, until = Number.POSITIVE_INFINITY } = options
  const write = async (what: BenchResult) => {
    if (out !== undefined) await writeFileAtomic(out, Buffer.from(`${JSON.stringify(what, null, 2)}\n`))
  }
  const late: string[] = []
  const inTime = (name: string) => {
    const begins = isWanted(name) && Date.now() < until
    if (isWanted(name) && !begins) late.push(name)
    return begins
  }
  try {
    const running = peers.filter((peer) => peer instanceof Peer)
    await SUITES[suite]({ ...context, ceilings, peers: running, wants: inTime })
  } finally {
    for (const peer of peers) if (peer instanceof Peer) peer.stop()
  }
  const others = devices.slice(1).map((other) => winsOf(device, other, rows))
  for (const text of others) listener.say(`\n${text}`)
  if (late.length > 0) listener.say(`\nnot begun, the time is over: ${late.join(', ')}`)
  await write(late.length > 0 ? { ...result(), unfinished: true } : result())
  if (out !== undefined) listener.say(`\nwrote ${out}`)
  return result()
}

/** Of all cases: the suite is asked with none of them wanted. */
async function namesOf(suite: BenchSuite, context: Omit<SuiteContext, 'ceilings' | 'peers'>): Promise<string[]> {
  const names: string[] = []
  const wants = (name: string) => {
    names.push(name)
    return false
  }
  await SUITES[suite]({ ...context, ceilings: {}, peers: [], wants })
  return names
}

/** @param threads default: one a processor that this process may use */
export async function describeMachine(threads?: number): Promise<Machine> {
  const cpu = (await allDevices()).find((info): info is CpuDeviceInfo => info.kind === 'cpu')!
  return {
    cpu: cpu.name,
    isa: cpu.isa,
    threads: threads ?? Math.min(cpu.threads, availableParallelism()),
    node: process.version,
    revision: revision(),
    date: new Date().toISOString(),
  }
}

function commandOf(suite: string, { device = 'cpu', precision = 'float32', ladder }: BenchOptions): string {
  const parts = [`forja bench ${suite}`]
  if (device !== 'cpu') parts.push(`--device ${device}`)
  if (precision !== 'float32') parts.push(`--precision ${precision}`)
  if (ladder) parts.push('--ladder')
  return parts.join(' ')
}

/** The devices' ids; those that are not here are an error. */
function devicesOf(suite: string, list: string, precision: Precision): string[] {
  const ids = list.split(',').map((name) => resolveDevice(name.trim()).id)
  const those = (suites: readonly string[]) => `those of ${suites.join(', ').replace(/, (?=\w+$)/, ' and ')} do`
  if (ids.length > 1 && !NETWORKS.includes(suite))
    throw new ForjaError('ERR_ARGUMENT', `cases of ${suite} do not compare devices ('${list}'); ${those(NETWORKS)}`)
  if (new Set(ids).size < ids.length) throw new ForjaError('ERR_ARGUMENT', `a device is named twice: '${list}'`)
  if (precision === 'float32') return ids
  if (!PRECISE.includes(suite))
    throw new ForjaError('ERR_ARGUMENT', `cases of ${suite} have no precision '${precision}'; ${those(PRECISE)}`)
  if (!ids.some((id) => id.startsWith('cuda')))
    throw new ForjaError('ERR_ARGUMENT', `precision '${precision}' needs a GPU; the device is '${list}'`)
  return ids
}

async function gpusOf(ids: readonly string[]): Promise<Gpu[]> {
  const isNamed = (id: string) => /^cuda:/.test(id)
  if (!ids.some(isNamed)) return []
  const { devices, libraries } = await cudaStatus()
  const found = libraries.map(({ name, version }) => (version === undefined ? `no ${name}` : `${name} ${version}`))
  return devices.filter(({ id }) => ids.includes(id)).map(({ id, name, isa }) => ({ id, name, isa, libraries: found }))
}

/** Where `first` takes less time than `other`. */
function winsOf(first: string, other: string, rows: readonly Row[]): string {
  const compared = rows.filter((row) => row.device === other && row.ratios?.[first] !== undefined)
  const won = compared.filter((row) => row.ratios![first]!.median < 1)
  if (compared.length === 0) return `${other} was not compared with ${first}`
  if (won.length === 0) return `${other} is faster than ${first} in every case`
  const cases = won.map((row) => `${row.case} (${(1 / row.ratios![first]!.median).toFixed(2)} times)`)
  return `${first} is faster than ${other} in ${won.length} of ${compared.length} cases: ${cases.join(', ')}`
}

async function startPeers(
  suite: string,
  wanted: boolean | readonly string[],
  threads: number,
  devices: readonly string[],
): Promise<(Peer | AbsentPeer)[]> {
  const specs = peerSpecs(suite, devices[0]!.startsWith('cuda') ? 'cuda' : 'cpu')
  if (devices.length > 1) return specs.map(({ name }) => ({ name, absent: 'it takes part where one device is timed' }))
  if (!wanted) return specs.map(({ name }) => ({ name, absent: 'switched off by --no-peers' }))
  const started: (Peer | AbsentPeer)[] = []
  for (const spec of specs) {
    const asked = wanted === true || wanted.includes(spec.name)
    started.push(asked ? await Peer.start(spec, threads, devices[0]) : { name: spec.name, absent: 'not asked for' })
  }
  return started
}

/** Of a checkout; an installed package is known by its version. */
function revision(): string {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  if (!existsSync(`${root}/.git`)) return VERSION
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return VERSION
  }
}
