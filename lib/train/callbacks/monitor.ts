/** A figure that is watched for improvement. */
import { ForjaError } from '../../errors.js'
import { checkChoice } from '../../options.js'
import type { EpochLogs } from '../history.js'
import type { TrainingContext } from './callback.js'

export interface MonitorOptions {
  /** A name of the epoch's logs. Default 'valLoss'. */
  monitor?: string
  /** Whether it should fall or rise. Default 'auto': as the metric says; losses fall. */
  mode?: 'auto' | 'min' | 'max'
  /** The least change that counts. */
  minDelta?: number
}

export const MONITOR = ['monitor', 'mode', 'minDelta'] as const

export class Monitor {
  readonly name: string
  readonly #mode: 'auto' | 'min' | 'max'
  readonly #minDelta: number

  constructor(
    private readonly who: string,
    { monitor = 'valLoss', mode = 'auto', minDelta = 0 }: MonitorOptions,
  ) {
    this.name = monitor
    this.#mode = checkChoice(who, 'mode', mode, ['auto', 'min', 'max'])
    this.#minDelta = Math.abs(minDelta)
  }

  /** Whether the figure should fall or rise. @throws ERR_ARGUMENT where nothing of that name is measured. */
  mode({ measured }: TrainingContext): 'min' | 'max' {
    const known = measured.get(this.name)
    if (known === undefined) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `${this.who}: ${this.name} is not measured; measured are ${[...measured.keys()].join(', ')}`,
        { hint: "give fit() validation data, and metrics: ['accuracy'] for an accuracy" },
      )
    }
    return this.#mode === 'auto' ? known : this.#mode
  }

  /** @throws ERR_ARGUMENT where the state in a checkpoint is of another figure. */
  checkSame(saved: string): void {
    if (saved === this.name) return
    throw new ForjaError('ERR_ARGUMENT', `${this.who}: the checkpoint's watched ${saved}, this one ${this.name}`, {
      hint: 'go on with the callbacks that training began with',
    })
  }

  read(logs: EpochLogs): number {
    return logs[this.name]!
  }

  /** Whether `value` is better than `best`, if there is one. */
  improves(value: number, best: number | undefined, context: TrainingContext): boolean {
    if (best === undefined) return !Number.isNaN(value)
    const gain = this.mode(context) === 'max' ? value - best : best - value
    return gain > this.#minDelta
  }
}
