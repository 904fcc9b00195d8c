/** What training reports, an epoch at a time. */
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
}

export class History {
  readonly epochs: EpochLogs[] = []
  /** Why training ended before the last epoch, if it did. */
  stopped?: string

  get loss(): number[] {
    return this.epochs.map((logs) => logs.loss)
  }

  get accuracy(): number[] {
    return present(this.epochs.map((logs) => logs.accuracy))
  }

  get valLoss(): number[] {
    return present(this.epochs.map((logs) => logs.valLoss))
  }

  get valAccuracy(): number[] {
    return present(this.epochs.map((logs) => logs.valAccuracy))
  }

  toJSON(): { epochs: EpochLogs[]; stopped?: string } {
    return { epochs: this.epochs, ...(this.stopped === undefined ? {} : { stopped: this.stopped }) }
  }
}

function present(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined)
}
