/**
 * Every error a user of forja can cause is a {@link ForjaError} with a stable code. Texts name what was given and
 * what was expected; `hint` says what to do about it.
 */
export type ForjaErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_ARGUMENT'
  | 'ERR_DEVICE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_DISPOSED'
  | 'ERR_UNSUPPORTED_OP'
  | 'ERR_FEED_MISSING'
  | 'ERR_FORMAT'
  | 'ERR_CHECKSUM'
  | 'ERR_OFFLINE'
  | 'ERR_NAN_LOSS'
  | 'ERR_BACKEND_UNAVAILABLE'
  | 'ERR_INTERNAL'

export class ForjaError extends Error {
  readonly code: ForjaErrorCode
  /** What to do about it, one sentence, if there is something. */
  readonly hint?: string

  constructor(code: ForjaErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(
      options.hint ? `${message}\n  hint  ${options.hint}` : message,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.name = 'ForjaError'
    this.code = code
    if (options.hint !== undefined) this.hint = options.hint
  }
}

/** The rejection of a cancelled call whose signal carries no reason of its own. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR'

  constructor(message = 'The operation was aborted', options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'AbortError'
  }
}

/** What was given, for messages: `3`, `'abc'`, `null`, `Float32Array`, `a function`; never throws. */
export function describeGiven(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return String(value)
  const made = value.constructor
  return (typeof made === 'function' && made.name) || 'an object'
}

/** As {@link describeGiven}, with the entries of an array, and theirs: `[2, 1.5]`, `[[1, 0], [2]]`. */
export function describeList(value: unknown, deep = 2): string {
  if (!Array.isArray(value) || deep === 0) return describeGiven(value)
  const shown = value.slice(0, 16).map((entry) => describeList(entry, deep - 1))
  return `[${shown.join(', ')}${value.length > shown.length ? ', ..' : ''}]`
}
