/**
 * Progress on stderr: a bar on a terminal, one plain line an epoch elsewhere.
 *
 *   Epoch  3/10  391/782 ━━━━━━━━━━━━━━━━━━━━  2.0s left  5.10ms/step  12.5k samples/s  loss 0.9123  acc 0.6790
 *   Epoch  3/10  4.0s  12.5k samples/s  loss 0.8123  acc 0.7190 | val_loss 0.9410  val_acc 0.6700  lr 1.000e-4
 */
import { styleText } from 'node:util'
import { SingleBar } from 'cli-progress'
import { type EpochLogs, scoresOf } from './history.js'
import type { Scores } from './objective.js'

export type Verbosity = 'auto' | 0 | 1 | 2

export interface Reporter {
  begin(epoch: number, epochs: number, steps: number): void
  batch(step: number, samples: number, scores: Scores): void
  /** The bar is taken away, whatever happened. */
  end(): void
  epoch(logs: EpochLogs, epochs: number): void
  note(text: string): void
}

const SILENT: Reporter = { begin() {}, batch() {}, end() {}, epoch() {}, note() {} }
const BAR = 20
const DONE = '━'
/** Thinner, so that a terminal without colours shows it too. */
const AHEAD = '─'

export function reporterFor(verbose: Verbosity, stream: NodeJS.WriteStream = process.stderr): Reporter {
  if (verbose === 0) return SILENT
  const terminal = stream.isTTY === true && process.env.CI === undefined && verbose !== 2
  return terminal ? new BarReporter(stream) : new LineReporter(stream)
}

/** Coloured where the stream is a terminal that has colours; NO_COLOR and FORCE_COLOR are obeyed. */
export function paint(stream: NodeJS.WriteStream, format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, text, { stream })
}

/** 0.9123, 12.35, 1.234e-4: four significant digits. */
function figure(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3)
  return value.toPrecision(4)
}

/** 5.10, 12.5, 950, 1234: three digits at least, and no exponent. */
function short(value: number): string {
  return value < 99.95 ? value.toPrecision(3) : String(Math.round(value))
}

/** 950, 12.5k, 1.20M */
function rate(perSecond: number): string {
  if (perSecond >= 999_500) return `${short(perSecond / 1e6)}M`
  return perSecond >= 999.5 ? `${short(perSecond / 1e3)}k` : short(perSecond)
}

/** 9.9s, 59s, 1m00s, 1h00m */
function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole}s`
  const minutes = Math.floor(whole / 60)
  return minutes < 60
    ? `${minutes}m${String(whole % 60).padStart(2, '0')}s`
    : `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`
}

/** loss 0.9123  acc 0.6790  top5Accuracy 0.9510 */
function scoresText(scores: Scores, prefix = ''): string {
  return Object.entries(scores)
    .map(([name, value]) => {
      const label = name === 'accuracy' ? 'acc' : name
      return `${prefix}${label} ${/accuracy$/i.test(name) ? value!.toFixed(4) : figure(value!)}`
    })
    .join('  ')
}

function epochName(epoch: number, epochs: number): string {
  return `Epoch ${String(epoch).padStart(String(epochs).length)}/${epochs}`
}

/** One epoch's line without the bar. */
export function epochLine(logs: EpochLogs, epochs: number): string {
  const { training, validation } = scoresOf(logs)
  return [
    epochName(logs.epoch, epochs),
    duration(logs.seconds),
    `${rate(logs.samplesPerSecond)} samples/s`,
    scoresText(training) + (validation ? ` | ${scoresText(validation, 'val_')}` : ''),
    `lr ${figure(logs.lr)}`,
  ].join('  ')
}

export interface EpochProgress {
  /** 'Epoch  3/10' */
  name: string
  step: number
  steps: number
  samples: number
  /** Since the epoch began. */
  seconds: number
  scores: Scores
}

/** A running epoch's line. What the columns have no room for is left out, what is needed least first. */
export function progressLine({ name, step, steps, samples, seconds, scores }: EpochProgress, columns: number): string {
  const head = `${name}  ${String(step).padStart(String(steps).length)}/${steps}`
  const done = Math.round((BAR * step) / Math.max(steps, 1))
  const bar = DONE.repeat(done) + AHEAD.repeat(BAR - done)
  if (step === 0) return `${head} ${bar}`
  const left = `  ${duration((seconds / step) * (steps - step))} left`
  const perStep = seconds / step
  const stepTime = `  ${perStep < 0.9995 ? `${short(1000 * perStep)}ms` : `${short(perStep)}s`}/step`
  const speed = `  ${rate(samples / seconds)} samples/s`
  let parts = [head, ` ${bar}`, left, stepTime, speed, `  ${scoresText(scores)}`]
  for (const part of [stepTime, speed, ` ${bar}`, left]) {
    if (parts.join('').length <= columns) break
    parts = parts.filter((other) => other !== part)
  }
  return parts.join('')
}

class LineReporter implements Reporter {
  constructor(protected readonly stream: NodeJS.WriteStream) {}

  begin(_epoch: number, _epochs: number, _steps: number): void {}
  batch(_step: number, _samples: number, _scores: Scores): void {}
  end(): void {}

  epoch(logs: EpochLogs, epochs: number): void {
    this.note(epochLine(logs, epochs))
  }

  note(text: string): void {
    this.stream.write(`${text}\n`)
  }
}

class BarReporter extends LineReporter {
  #bar: SingleBar | undefined
  #progress: EpochProgress = { name: '', step: 0, steps: 0, samples: 0, seconds: 0, scores: {} as Scores }
  #start = 0

  override begin(epoch: number, epochs: number, steps: number): void {
    this.#progress = { ...this.#progress, name: epochName(epoch, epochs), step: 0, steps }
    this.#start = performance.now()
    this.#bar = new SingleBar({
      stream: this.stream,
      clearOnComplete: true,
      hideCursor: true,
      gracefulExit: false, // signals are the program's to handle
      fps: 10,
      format: () => this.#line(),
    })
    this.#bar.start(steps, 0)
  }

  #line(): string {
    return progressLine(this.#progress, this.stream.columns || Number.POSITIVE_INFINITY)
      .replace(new RegExp(`${DONE}+`), (done) => paint(this.stream, 'cyan', done))
      .replace(new RegExp(`${AHEAD}+`), (ahead) => paint(this.stream, 'dim', ahead))
  }

  override batch(step: number, samples: number, scores: Scores): void {
    const seconds = (performance.now() - this.#start) / 1000
    this.#progress = { ...this.#progress, step, samples, seconds, scores }
    this.#bar?.update(step)
  }

  override end(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}
