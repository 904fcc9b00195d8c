import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describeGiven, ForjaError } from '../../errors.js'
import { checkOptions } from '../../options.js'
import { csvLine, type EpochLogs } from '../history.js'
import type { Callback } from './callback.js'

export interface CsvLoggerOptions {
  /** Its folder is made. */
  filename: string
  /** Default ','. */
  separator?: string
  /** Go on with a file that is there, in its columns. Default false: begin a new one. */
  append?: boolean
}

/** Writes a line an epoch under the names of the figures. */
export function csvLogger(options: CsvLoggerOptions): Callback {
  const {
    filename,
    separator = ',',
    append = false,
  } = checkOptions('csvLogger', options, ['filename', 'separator', 'append'])
  if (typeof filename !== 'string' || filename === '') {
    throw new ForjaError('ERR_ARGUMENT', `csvLogger: filename ${describeGiven(filename)}; expected the path of a file`)
  }
  let names: string[] | undefined
  const begin = async (logs: EpochLogs): Promise<string[]> => {
    const old = append ? await readFile(filename, 'utf8').catch(() => '') : ''
    if (old !== '') return old.split('\n', 1)[0]!.split(separator)
    const columns = Object.keys(logs)
    await mkdir(dirname(filename), { recursive: true })
    await writeFile(filename, `${columns.join(separator)}\n`)
    return columns
  }
  return {
    onTrainBegin() {
      names = undefined
    },
    async onEpochEnd(logs) {
      try {
        names ??= await begin(logs)
        await appendFile(filename, `${csvLine(logs, names, separator)}\n`)
      } catch (cause) {
        throw new ForjaError('ERR_ARGUMENT', `csvLogger: ${filename} cannot be written: ${(cause as Error).message}`, {
          cause,
        })
      }
    },
  }
}
