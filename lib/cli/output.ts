/**
 * Where the command line writes: results to stdout, as text or with --json as one JSON object a line; everything meant
 * for a human meanwhile to stderr.
 */
import { access, constants, stat } from 'node:fs/promises'
import { constants as system } from 'node:os'
import { dirname, resolve } from 'node:path'
import { CommanderError } from 'commander'
import { ForjaError } from '../errors.js'
import { paint } from '../train/progress.js'

export const EXIT = { ok: 0, failed: 1, usage: 2, device: 3 } as const

export class Output {
  constructor(readonly json: boolean) {}

  /** One line of a --json run; nothing otherwise. */
  event(event: string, fields: object): void {
    if (this.json) process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)
  }

  /** The answer: `text` for a human, `fields` for a program. */
  result(text: string, fields: object): void {
    if (this.json) this.event('result', fields)
    else process.stdout.write(`${text}\n`)
  }

  say(text: string): void {
    process.stderr.write(`${text}\n`)
  }
}

/** A stop asked for by a signal; the exit code is what a shell gives for it. */
export class Interrupted extends Error {
  readonly exitCode: number

  constructor(
    message: string,
    readonly signal: 'SIGINT' | 'SIGTERM',
  ) {
    super(message)
    this.exitCode = 128 + system.signals[signal]
  }
}

/** What the line of an error begins with. */
export const errorLabel = (): string => paint(process.stderr, 'red', 'error:')

/** Prints what went wrong, without a stack where it is the user's to mend, and gives the exit code. */
export function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  const { stderr } = process
  if (error instanceof Interrupted) {
    stderr.write(`${error.message}\n`)
    return error.exitCode
  }
  const label = errorLabel()
  if (!(error instanceof ForjaError)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    stderr.write(`${label} ${text}\n`)
    return EXIT.failed
  }
  const hint = error.hint === undefined ? '' : `\n  hint  ${error.hint}`
  const message = hint && error.message.endsWith(hint) ? error.message.slice(0, -hint.length) : error.message
  stderr.write(`${label} ${message}\n${hint ? `${paint(stderr, 'cyan', 'hint:')} ${error.hint}\n` : ''}`)
  return error.code === 'ERR_DEVICE' ? EXIT.device : EXIT.failed
}

/** Columns padded to their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}

/** Before the work that begins with `file`, the value of `option`: ERR_ARGUMENT where it could not be read. */
export async function checkReadable(option: string, file: string): Promise<void> {
  await access(file, constants.R_OK).catch((cause: Error) => {
    throw new ForjaError('ERR_ARGUMENT', `${option}: ${file} cannot be read: ${cause.message}`, { cause })
  })
}

/** Before the work whose result goes to `file`, the value of `option`: ERR_ARGUMENT where it could not be written. */
export async function checkWritable(option: string, file: string): Promise<void> {
  const isFolder = await stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (isFolder) throw new ForjaError('ERR_ARGUMENT', `${option}: ${file} is a folder; expected the path of a file`)
  const folder = dirname(resolve(file))
  await access(folder, constants.W_OK).catch((cause: Error) => {
    throw new ForjaError('ERR_ARGUMENT', `${option}: the folder ${folder} cannot be written: ${cause.message}`, {
      cause,
    })
  })
}
