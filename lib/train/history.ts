/**
 * What training reports, an epoch at a time, and its curves.
 */
import { extname } from 'node:path'
import { ForjaError } from '../errors.js'
import { writeFileAtomic } from '../io/atomic.js'
import type { Chart } from '../plot/chart.js'
import { lines, sideBySide } from '../plot/charts.js'
import type { Scores } from './objective.js'

/** Besides the fields below, each metric by its name, and as `val...` of the validation data. */
export interface EpochLogs {
  /** From 1. */
  epoch: number
  /** Means over the training samples, each as it was when its batch was trained on. */
  loss: number
  accuracy?: number
  /** Of the validation data, after the epoch. */
  valLoss?: number
  valAccuracy?: number
  /** The learning rate of the epoch's last step. */
  lr: number
  /** Of training, without validation. */
  seconds: number
  samplesPerSecond: number
  [metric: string]: number | undefined
}

/** loss → valLoss */
export function validationName(name: string): string {
  return `val${name[0]!.toUpperCase()}${name.slice(1)}`
}

/** Loss and metrics of the training samples, and, under the same names, of the validation data. */
export function scoresOf(logs: EpochLogs): { training: Scores; validation?: Scores } {
  const { epoch: _epoch, lr: _lr, seconds: _seconds, samplesPerSecond: _rate, ...rest } = logs
  const names = Object.keys(rest).filter((name) => !/^val[A-Z]/.test(name))
  const training = Object.fromEntries(names.map((name) => [name, logs[name]])) as Scores
  if (logs.valLoss === undefined) return { training }
  return { training, validation: Object.fromEntries(names.map((name) => [name, logs[validationName(name)]])) as Scores }
}

export class History {
  readonly epochs: EpochLogs[] = []
  /** Why training ended before the last epoch, if it did. */
  stopped?: string

  get loss(): number[] {
    return this.values('loss')
  }

  get accuracy(): number[] {
    return this.values('accuracy')
  }

  get valLoss(): number[] {
    return this.values('valLoss')
  }

  get valAccuracy(): number[] {
    return this.values('valAccuracy')
  }

  /** One figure of every epoch that has it: 'valR2', 'lr'. */
  values(name: string): number[] {
    return this.epochs.map((logs) => logs[name]).filter((value) => value !== undefined)
  }

  toJSON(): { epochs: EpochLogs[]; stopped?: string } {
    return { epochs: this.epochs, ...(this.stopped === undefined ? {} : { stopped: this.stopped }) }
  }

  /** Loss and metrics over the epochs, a picture each, training and validation as two lines. */
  chart(title?: string): Chart {
    const first = this.epochs[0]
    if (first === undefined) throw new ForjaError('ERR_ARGUMENT', 'history.chart: no epoch was completed')
    const names = Object.keys(scoresOf(first).training)
    const series = (name: string) =>
      this.epochs.flatMap((logs): [number, number][] => {
        const value = logs[name]
        return value !== undefined && Number.isFinite(value) ? [[logs.epoch, value]] : []
      })
    const charts = names.map((name) => {
      const [training, validation] = [series(name), series(validationName(name))]
      const both: Record<string, [number, number][]> = { training, ...(validation.length > 0 && { validation }) }
      return lines({ title: name, x: 'epoch', series: both, width: 320, height: 240 })
    })
    return sideBySide(charts, { title, sharedLegend: true })
  }

  /** One line an epoch under the names of the figures. */
  csv(separator = ','): string {
    const first = this.epochs[0]
    if (first === undefined) return ''
    const names = Object.keys(first)
    const rows = this.epochs.map((logs) => csvLine(logs, names, separator))
    return [names.join(separator), ...rows, ''].join('\n')
  }

  /**
   * Writes the curves (.svg) or the figures (.json, .csv), by the path's ending; the file is whole or as it was.
   *
   * @throws ERR_ARGUMENT for another ending.
   */
  async save(path: string): Promise<void> {
    const ending = extname(path).toLowerCase()
    if (ending === '.svg') return await this.chart().save(path)
    if (ending === '.json') return await writeFileAtomic(path, Buffer.from(`${JSON.stringify(this, null, 2)}\n`))
    if (ending === '.csv') return await writeFileAtomic(path, Buffer.from(this.csv()))
    throw new ForjaError('ERR_ARGUMENT', `history.save: '${path}' ends in '${ending}'; expected .svg, .json or .csv`)
  }
}

/** An epoch's figures in the order of `names`; nothing where one is missing. */
export function csvLine(logs: EpochLogs, names: readonly string[], separator: string): string {
  return names.map((name) => logs[name] ?? '').join(separator)
}
