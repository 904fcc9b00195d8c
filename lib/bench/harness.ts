/**
 * Timing that can be trusted: the contenders of a case take turns (A B A B ..) in one run, each turn is a tinybench task,
 * and what is compared is the ratio of a turn's medians, never two absolute times. A result that differs from the
 * peer's is an error, not a row.
 */
import { Bench } from 'tinybench'
import { ForjaError } from '../errors.js'

export interface Contender {
  readonly name: string
  /** Seconds of each call in a turn of about `seconds`. */
  turn(seconds: number): Promise<number[]>
}

export interface Timing {
  readonly name: string
  /** Median of the turns' medians, and the fastest call, in milliseconds. */
  readonly p50Ms: number
  readonly minMs: number
  readonly calls: number
  readonly turns: readonly number[]
}

/** A contender that is an async function, timed by tinybench unless it returns the seconds that it measured itself. */
export function asyncContender(name: string, call: () => Promise<number | undefined>): Contender {
  return {
    name,
    async turn(seconds) {
      const bench = new Bench({ time: seconds * 1000, iterations: 1, warmup: false, retainSamples: true })
      bench.add(name, async () => {
        const own = await call()
        return own === undefined ? undefined : { overriddenDuration: own * 1000 }
      })
      const [task] = await bench.run()
      const result = task?.result
      if (result?.state !== 'completed')
        throw new Error(`${name}: ${result && 'error' in result ? String(result.error) : 'did not run'}`)
      return (result.latency.samples ?? []).map((ms) => ms / 1000)
    },
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Times the contenders in turns of `seconds / (turns * contenders)`, after one turn each that does not count. */
export async function race(contenders: readonly Contender[], seconds: number, turns = 7): Promise<Timing[]> {
  const slice = seconds / (turns * contenders.length)
  for (const contender of contenders) await contender.turn(slice / 2)
  const samples = contenders.map((): number[][] => [])
  for (let turn = 0; turn < turns; turn++) {
    for (const [i, contender] of contenders.entries()) samples[i]!.push(await contender.turn(slice))
  }
  return contenders.map((contender, i) => {
    const medians = samples[i]!.map(median)
    return {
      name: contender.name,
      p50Ms: median(medians) * 1000,
      minMs: samples[i]!.flat().reduce((least, s) => Math.min(least, s), Number.POSITIVE_INFINITY) * 1000,
      calls: samples[i]!.flat().length,
      turns: medians,
    }
  })
}

/** Of the turns of a race. */
export interface Ratio {
  median: number
  min: number
  max: number
}

/** The peer's time over ours, turn by turn: median, smallest, largest. Above 1 we are faster. */
export function ratioOf(peer: Timing, ours: Timing): Ratio {
  const ratios = peer.turns.map((time, i) => time / ours.turns[i]!)
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) }
}

/**
 * The largest difference of two results, relative to the largest magnitude of the second.
 *
 * @throws ERR_INTERNAL where it is above `tolerance` or the results have different lengths.
 */
export function checkParity(
  what: string,
  ours: ArrayLike<number>,
  theirs: ArrayLike<number>,
  tolerance: number,
): number {
  if (ours.length !== theirs.length) {
    throw new ForjaError('ERR_INTERNAL', `${what}: ${ours.length} numbers, ${theirs.length} were expected`)
  }
  let scale = 0
  let error = 0
  for (let i = 0; i < theirs.length; i++) scale = Math.max(scale, Math.abs(theirs[i]!))
  for (let i = 0; i < theirs.length; i++) error = Math.max(error, Math.abs(ours[i]! - theirs[i]!))
  const relative = error / Math.max(scale, 1e-30)
  if (!(relative <= tolerance)) {
    throw new ForjaError(
      'ERR_INTERNAL',
      `${what}: results differ by ${relative.toExponential(2)} of the largest, ${tolerance} is allowed`,
    )
  }
  return relative
}
