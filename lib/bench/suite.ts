/** What every suite does with a case: check the results, race the contenders, report a row each. */
import { ForjaError } from '../errors.js'
import type { Precision } from '../passes/lower.js'
import { asyncContender, type Contender, checkParity, race, ratioOf, type Timing } from './harness.js'
import type { Peer, Task } from './peers.js'
import type { Ceilings, Row } from './row.js'

export interface SuiteContext {
  /** The first of `devices`. */
  readonly device: string
  /** Several are compared with the first. */
  readonly devices: readonly string[]
  /** Of products, on GPUs. */
  readonly precision: Precision
  readonly threads: number
  readonly ceilings: Ceilings
  readonly peers: readonly Peer[]
  /** Seconds to spend on a case, all contenders together. */
  readonly seconds: number
  /** Every variant of the operation instead of the one that programs get. */
  readonly ladder: boolean
  wants(name: string): boolean
  /** Waited for, so that nothing is measured while a row is written. */
  report(row: Row): void | Promise<void>
  /** A case that gave a wrong result or failed, or one contender of it: no row. */
  fail(name: string, error: unknown): void | Promise<void>
  say(text: string): void
}

/** One way in which forja does a case. */
export interface Entrant {
  readonly variant: string
  /** Default: that of the context. */
  readonly device?: string
  readonly result: ArrayLike<number>
  /** Default: that of the case. */
  readonly tolerance?: number
  /** One call; the seconds it took where they are measured inside. */
  readonly call: () => Promise<number | undefined>
}

export interface Case {
  readonly suite: string
  readonly name: string
  readonly entrants: readonly Entrant[]
  /** The same for peers. */
  readonly task: Task
  /** Largest difference of results relative to the largest number. */
  readonly tolerance: number
  /** Compares a result where that does not need a peer. */
  readonly check?: (result: ArrayLike<number>, name: string, tolerance: number) => Promise<Check>
  /** As `check`, too slow to do it where a peer has the whole result. */
  readonly checkWithoutPeer?: Case['check']
  readonly flops?: number
  readonly bytes?: number
  readonly samples?: number
  readonly turns?: number
}

export interface Check {
  readonly against: string
  readonly error: number
}

/** Whether the cases are those that keep a GPU busy. */
export function isGpu({ device }: SuiteContext): boolean {
  return device.startsWith('cuda:')
}

/** The CPU computes in float32, whatever GPUs do. */
export function dtypeOn({ precision }: SuiteContext, device: string): Precision {
  return device.startsWith('cuda') ? precision : 'float32'
}

/** Runs `body` for a case that is wanted; what it throws is reported instead of a row. */
export async function attempt(context: SuiteContext, name: string, body: () => Promise<void>): Promise<void> {
  if (!context.wants(name)) return
  try {
    await body()
  } catch (error) {
    await context.fail(name, error)
  }
}

/** Of several ways those with a wrong result are left out, which is reported; where there is one, it throws. */
export async function measure(context: SuiteContext, kase: Case): Promise<void> {
  const { name } = kase
  let entrants = kase.entrants
  const checks = new Map(entrants.map((entrant) => [entrant, [] as Check[]]))
  const compare = async (check: NonNullable<Case['check']>) => {
    const right: Entrant[] = []
    for (const entrant of entrants) {
      const { variant, result, tolerance = kase.tolerance } = entrant
      try {
        checks.get(entrant)!.push(await check(result, `${name}, ${variant}`, tolerance))
        right.push(entrant)
      } catch (error) {
        if (kase.entrants.length === 1) throw error
        await context.fail(name, error)
      }
    }
    entrants = right
  }
  if (kase.check) await compare(kase.check)
  const peers: Peer[] = []
  for (const peer of context.peers) {
    const theirs = await peer.prepare(kase.task).catch(async (error: unknown) => {
      await context.fail(name, error) // one contender less; the others are timed
      return undefined
    })
    if (theirs === undefined) continue
    if (typeof theirs === 'string') {
      context.say(`${name}: ${peer.name} is not measured (${theirs})`)
      continue
    }
    await compare(async (result, what, tolerance) => ({
      against: peer.name,
      error: checkParity(`${what} against ${peer.name}`, result, theirs, tolerance),
    }))
    peers.push(peer)
  }
  if (kase.checkWithoutPeer && peers.length === 0) await compare(kase.checkWithoutPeer)
  if (entrants.length === 0) return
  if (entrants.some((entrant) => checks.get(entrant)!.length === 0))
    throw new ForjaError('ERR_INTERNAL', `${name}: nothing to compare with`)

  const timings = await raceWith(context, kase, entrants, peers)
  const theirTimings = timings.slice(entrants.length)
  const base = entrants[0]!.device ?? context.device
  const rows = timings.map((timing, i) => {
    const entrant = entrants[i]
    const { device = context.device } = entrant ?? {}
    const isElsewhere = entrant !== undefined && device !== base
    const against = isElsewhere ? [...theirTimings, { ...timings[0]!, name: base }] : theirTimings
    const checked = entrant && checks.get(entrant)
    return completeRow(context, kase, timing, device, entrant === undefined, against, checked)
  })
  // The ladder is read upwards: the slowest first.
  if (context.ladder) rows.sort((a, b) => b.p50Ms - a.p50Ms)
  for (const row of rows) await context.report(row)
}

/** Times the entrants and the peers; without a peer that fails meanwhile, which is reported, all are timed anew. */
async function raceWith(
  context: SuiteContext,
  { name, turns }: Case,
  entrants: readonly Entrant[],
  peers: readonly Peer[],
): Promise<Timing[]> {
  const ours = entrants.map(({ variant, call }) => asyncContender(variant, call))
  const failed = new Set<Peer>()
  for (;;) {
    const before = failed.size
    const theirs = peers
      .filter((peer) => !failed.has(peer))
      .map((peer): Contender => {
        const turn = (seconds: number) =>
          peer.turn(seconds).catch((error: unknown) => {
            failed.add(peer)
            throw error
          })
        return { name: peer.name, turn }
      })
    try {
      return await race([...ours, ...theirs], context.seconds, turns)
    } catch (error) {
      if (failed.size === before) throw error
      await context.fail(name, error)
    }
  }
}

function completeRow(
  context: SuiteContext,
  { suite, name, flops, bytes, samples }: Case,
  timing: Timing,
  device: string,
  isPeer: boolean,
  /** Times that this one is held against. */
  others: readonly Timing[],
  checked: readonly Check[] | undefined,
): Row {
  const { threads, ceilings } = context
  const perSecond = (count: number | undefined) => (count === undefined ? undefined : count / (timing.p50Ms / 1000))
  const share = (value: number | undefined, most: number | undefined) =>
    value === undefined || most === undefined ? undefined : (100 * value) / most
  const gflops = perSecond(flops && flops / 1e9)
  const gbytes = perSecond(bytes && bytes / 1e9)
  const best = others.length > 0 ? Math.min(...others.map((other) => other.p50Ms)) : undefined
  return {
    suite,
    case: name,
    variant: timing.name,
    device,
    dtype: dtypeOn(context, device),
    p50Ms: timing.p50Ms,
    minMs: timing.minMs,
    calls: timing.calls,
    gflops,
    percentOfPeak: share(gflops, ceilings.fmaGflops),
    gbytes,
    percentOfCopy: share(gbytes, ceilings.copyGbytes),
    throughput: perSecond(samples),
    percentOfBest: best === undefined ? undefined : (100 * best) / timing.p50Ms,
    ...(isPeer ? { peer: true as const } : { checked, ratios: ratiosOf(timing, others) }),
    threads,
    ...ceilings,
  }
}

function ratiosOf(timing: Timing, peers: readonly Timing[]): Row['ratios'] {
  if (peers.length === 0) return undefined
  return Object.fromEntries(peers.map((peer) => [peer.name, ratioOf(peer, timing)]))
}
