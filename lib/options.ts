/**
 * Options that users hand over, checked before anything is read from them: programs in JavaScript, and in TypeScript those
 * whose options come from elsewhere, have no compiler that does.
 */
import { describeGiven } from './errors.js'
import { refuse } from './ops/refuse.js'

/** Names of all options in O: one that is left out does not compile. */
type Names<O, K> = readonly K[] & ([Exclude<keyof O, K>] extends [never] ? unknown : { missing: Exclude<keyof O, K> })

/**
 * `options`, if it is an object of known options; `signal`, wherever it is one, is an AbortSignal.
 *
 * @throws ERR_ARGUMENT for anything else, as the axis that NumPy takes in this place, and for another name
 */
export function checkOptions<O extends object, const K extends keyof O & string>(
  what: string,
  options: O,
  known: Names<O, K>,
): O {
  const expected = () => `options { ${known.join(', ')} } were expected, got ${describeGiven(options)}`
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    refuse(what, 'ERR_ARGUMENT', expected())
  }
  const names: readonly string[] = known
  for (const name in options) {
    if (names.includes(name)) continue
    // A tensor in the place of options has names of its own.
    if ((options.constructor ?? Object) !== Object) refuse(what, 'ERR_ARGUMENT', expected())
    const text = `unknown option '${name}'; expected ${known.join(', ')}`
    refuse(what, 'ERR_ARGUMENT', text, suggestion(name, names))
  }
  if (names.includes('signal')) {
    const { signal } = options as { signal?: unknown }
    if (signal !== undefined && !(signal instanceof AbortSignal))
      refuse(what, 'ERR_ARGUMENT', `signal ${describeGiven(signal)}; expected an AbortSignal`)
  }
  return options
}

/**
 * `value`, if it is one of the few that the option `name` may be.
 *
 * @throws ERR_ARGUMENT listing them
 */
export function checkChoice<const T extends string | number | boolean>(
  what: string,
  name: string,
  value: T,
  known: readonly T[],
): T {
  if (known.includes(value)) return value
  const shown = known.map(describeGiven)
  const expected = `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)}`
  const words = known.filter((word) => typeof word === 'string')
  refuse(what, 'ERR_ARGUMENT', `${name} ${describeGiven(value)}; expected ${expected}`, suggestion(value, words))
}

/** @throws ERR_ARGUMENT unless `value` is an integer from `low` to `high` */
export function checkInteger(
  what: string,
  name: string,
  value: unknown,
  low = 1,
  high = Number.POSITIVE_INFINITY,
): asserts value is number {
  if (isIntegerIn(value, low, high)) return
  refuse(what, 'ERR_ARGUMENT', `${name} ${describeGiven(value)}; expected an integer${rangeText(low, high)}`)
}

/** @throws ERR_ARGUMENT unless `value` is a finite number from `low` to `high` */
export function checkNumber(
  what: string,
  name: string,
  value: unknown,
  low = Number.NEGATIVE_INFINITY,
  high = Number.POSITIVE_INFINITY,
): asserts value is number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= low && value <= high) return
  refuse(what, 'ERR_ARGUMENT', `${name} ${describeGiven(value)}; expected a number${rangeText(low, high)}`)
}

/**
 * Integers for `axes` axes from one for all of them, or one for each.
 *
 * @throws ERR_ARGUMENT unless they are from `low`, and those of an int32
 */
export function perAxis(what: string, name: string, value: unknown, axes: number, low = 1): number[] {
  const list: unknown[] = Array.isArray(value) ? [...value] : new Array<unknown>(axes).fill(value)
  if (list.length === axes && list.every((size) => isIntegerIn(size, low, 2 ** 31 - 1))) return list as number[]
  const given = Array.isArray(value) ? `[${value.map(describeGiven).join(', ')}]` : describeGiven(value)
  const several = axes > 1 ? `, or ${axes} of them` : ''
  refuse(what, 'ERR_ARGUMENT', `${name} ${given}; expected an integer from ${low}${several}`)
}

function isIntegerIn(value: unknown, low: number, high: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high
}

function rangeText(low: number, high: number): string {
  return `${Number.isFinite(low) ? ` from ${low}` : ''}${Number.isFinite(high) ? ` to ${high}` : ''}`
}

/** `did you mean 'epochs'?` */
function suggestion(given: unknown, names: readonly string[]): string | undefined {
  const meant = typeof given === 'string' ? nearest(given, names) : undefined
  return meant === undefined ? undefined : `did you mean '${meant}'?`
}

/** The name that `name` probably stands for: at most two letters away, case and underscores apart. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const plain = (text: string) => text.replaceAll('_', '').toLowerCase()
  const distances = names.map((other) => editDistance(plain(name), plain(other)))
  const least = Math.min(...distances)
  return least <= Math.min(2, name.length / 3) ? names[distances.indexOf(least)] : undefined
}

/** Letters to insert, leave out or replace (Levenshtein's distance). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, replaced))
    }
    row = next
  }
  return row[b.length]!
}
