/** `forja bench`: runs a suite with the peers that are here, reports rows, writes them to a file. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { ForjaError } from '../errors.js'
import { devices, setSeed, setThreads } from '../index.js'
import { writeFileAtomic } from '../io/atomic.js'
import { resolveDevice } from '../runtime/device.js'
import { type CpuDeviceInfo, measureCeilings } from '../runtime/devices.js'
import { VERSION } from '../version.js'
import { convSuite } from './conv.js'
import { matmulSuite } from './matmul.js'
import { inferSuite, trainSuite } from './networks.js'
import { opsSuite } from './ops.js'
import { type AbsentPeer, Peer, peerSpecs } from './peers.js'
import { type Ceilings, type Row, tableHeader, tableRow } from './row.js'

const SUITES = {
  matmul: matmulSuite,
  conv: convSuite,
  ops: opsSuite,
  train: trainSuite,
  infer: inferSuite,
}

const LADDERS = ['matmul', 'conv']

export interface BenchOptions {
  /** Only cases whose name contains this. */
  case?: string
  /** Default 'cpu'. */
  device?: string
  threads?: number
  /** For each case, all contenders together. Default 6. */
  seconds?: number
  ladder?: boolean
  /** Default true. */
  peers?: boolean
  /** Rows go to this file as well. */
  out?: string
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

/** What --out writes and `npm run bench:report` reads. */
export interface BenchResult {
  readonly command: string
  readonly machine: {
    readonly cpu: string
    readonly isa: string
    readonly threads: number
    readonly node: string
    readonly revision: string
    readonly date: string
  } & Ceilings
  readonly peers: readonly ({ readonly name: string; readonly version: string } | AbsentPeer)[]
  readonly rows: readonly Row[]
  readonly errors: readonly Failure[]
}

/**
 * Runs a suite; cases that fail are in `errors`, never in `rows`.
 *
 * @throws ERR_DEVICE for a device that is not here; ERR_ARGUMENT where no case has the name that was asked for or the
 *   suite has no ladder.
 */
export async function runBench(
  suite: keyof typeof SUITES,
  options: BenchOptions,
  listener: BenchListener,
): Promise<BenchResult> {
  if (options.ladder && !LADDERS.includes(suite)) {
    throw new ForjaError('ERR_ARGUMENT', `${suite} has no ladder; those of ${LADDERS.join(' and ')} do`)
  }
  const { kind, id } = resolveDevice(options.device ?? 'cpu')
  const cpu = (await devices()).find((info): info is CpuDeviceInfo => info.kind === 'cpu')!
  const threads = options.threads ?? Math.min(cpu.threads, availableParallelism())
  await setThreads(threads)
  setSeed(1)
  const ceilings: Ceilings = kind === 'cpu' ? await measureCeilings(threads) : {}
  const machine = {
    cpu: cpu.name,
    isa: cpu.isa,
    threads,
    node: process.version,
    revision: revision(),
    date: new Date().toISOString(),
    ...ceilings,
  }
  listener.say(
    `${id}: ${machine.cpu} · ${machine.isa} · ${threads} thread${threads > 1 ? 's' : ''} · Node ${machine.node}`,
  )
  const { fmaGflops, copyGbytes } = ceilings
  if (fmaGflops !== undefined && copyGbytes !== undefined)
    listener.say(`measured now: multiply-add peak ${fmaGflops.toFixed(0)} GFLOP/s, copy ${copyGbytes.toFixed(1)} GB/s`)
  const peers = await startPeers(suite, options.peers ?? true, threads)
  for (const peer of peers)
    listener.say(peer instanceof Peer ? `${peer.name}: ${peer.version}` : `${peer.name}: absent (${peer.absent})`)
  listener.say(`\n${tableHeader()}`)

  const rows: Row[] = []
  const errors: Failure[] = []
  let cases = 0
  try {
    await SUITES[suite]({
      device: id,
      threads,
      ceilings,
      peers: peers.filter((peer) => peer instanceof Peer),
      seconds: options.seconds ?? 6,
      ladder: options.ladder ?? false,
      wants: (name) => {
        const wanted = options.case === undefined || name.includes(options.case)
        if (wanted) cases++
        return wanted
      },
      report: (row) => {
        rows.push(row)
        listener.row(row)
        listener.say(tableRow(row))
      },
      fail: (name, error) => {
        const failure = { suite, case: name, message: error instanceof Error ? error.message : String(error) }
        errors.push(failure)
        listener.error(failure)
      },
      say: listener.say,
    })
  } finally {
    for (const peer of peers) if (peer instanceof Peer) peer.stop()
  }
  if (cases === 0) throw new ForjaError('ERR_ARGUMENT', `no case of ${suite} has '${options.case}' in its name`)
  const result: BenchResult = {
    command: `forja bench ${suite}${options.ladder ? ' --ladder' : ''}`,
    machine,
    peers: peers.map((peer) => (peer instanceof Peer ? { name: peer.name, version: peer.version } : peer)),
    rows,
    errors,
  }
  if (options.out !== undefined) {
    await writeFileAtomic(options.out, Buffer.from(`${JSON.stringify(result, null, 2)}\n`))
    listener.say(`\nwrote ${options.out}`)
  }
  return result
}

async function startPeers(suite: string, wanted: boolean, threads: number): Promise<(Peer | AbsentPeer)[]> {
  const specs = peerSpecs(suite)
  if (!wanted) return specs.map(({ name }) => ({ name, absent: 'switched off by --no-peers' }))
  const started: (Peer | AbsentPeer)[] = []
  for (const spec of specs) started.push(await Peer.start(spec, threads))
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
