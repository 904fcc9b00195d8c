/**
 * Progress on stderr: a bar on a terminal, one plain line an epoch elsewhere.
 *
 *   Epoch  3/10  782/782 ━━━━━━━━━━━━━━━━━━━━  4s  5.1ms/step  12.5k img/s  loss 0.9123  acc 0.679 │ val_loss 0.9410  ..
 *
 * While an epoch runs, the time left stands in place of the time taken.
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

export function reporterFor(verbose: Verbosity, stream: NodeJS.WriteStream = process.stderr): Reporter {
  if (verbose === 0) return SILENT
  const terminal = stream.isTTY === true && process.env.CI === undefined && verbose !== 2
  return terminal ? new BarReporter(stream) : new LineReporter(stream)
}

/** Coloured where the stream is a terminal that has colours; NO_COLOR and FORCE_COLOR are obeyed. */
export function paint(stream: NodeJS.WriteStream, format: Parameters<typeof styleText>[0], text: string): string {
  return stream.isTTY === true && stream.hasColors() ? styleText(format, text) : text
}

/** 0.9123, 12.35, 1.234e-4: four significant digits. */
function figure(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3)
  return value.toPrecision(4)
}

/** 950, 12.5k, 1.20M */
function rate(perSecond: number): string {
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toPrecision(3)}M`
  return perSecond >= 1e3 ? `${(perSecond / 1e3).toPrecision(3)}k` : perSecond.toPrecision(3)
}

function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)}s`
  if (seconds < 60) return `${Math.round(seconds)}s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes}m${String(Math.round(seconds % 60)).padStart(2, '0')}s`
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
  #text = ''
  #name = ''
  #start = 0

  override begin(epoch: number, epochs: number, steps: number): void {
    this.#name = epochName(epoch, epochs)
    this.#text = ''
    this.#start = performance.now()
    this.#bar = new SingleBar({
      stream: this.stream,
      clearOnComplete: true,
      hideCursor: true,
      gracefulExit: false, // signals are the program's to handle
      fps: 10,
      format: (_options, { value, total }) => this.#line(value, total),
    })
    this.#bar.start(steps, 0)
  }

  #line(value: number, total: number): string {
    const done = Math.round((BAR * value) / Math.max(total, 1))
    const bar = paint(this.stream, 'cyan', '━'.repeat(done)) + paint(this.stream, 'dim', '━'.repeat(BAR - done))
    const seconds = (performance.now() - this.#start) / 1000
    const left = value > 0 ? `${duration((seconds / value) * (total - value))} left` : ''
    return `${this.#name}  ${String(value).padStart(String(total).length)}/${total} ${bar}  ${left}  ${this.#text}`
  }

  override batch(step: number, samples: number, scores: Scores): void {
    const seconds = (performance.now() - this.#start) / 1000
    const perStep = `${((1000 * seconds) / step).toPrecision(3)}ms/step`
    this.#text = `${perStep}  ${rate(samples / seconds)} samples/s  ${scoresText(scores)}`
    this.#bar?.update(step)
  }

  override end(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}
