/**
 * evaluateModel() and predict(): networks in inference mode.
 */
import { fromData } from '../create.js'
import type { Dataset } from '../data/dataset.js'
import { allocate } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { checkInteger, checkOptions } from '../options.js'
import { type CompileFunctionOptions, compile } from '../runtime/compile.js'
import { resolveDevice } from '../runtime/device.js'
import { evaluate } from '../runtime/evaluate.js'
import { sizeOfShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { type Feed, feedOf, type PlacementOptions } from './feed.js'
import { checkTrainable, inMode, type Trainable } from './model.js'
import { type Objective, type ObjectiveOptions, objectiveOf, ScoreSum, type Scores } from './objective.js'
import { type CompiledStep, runBatches, type StepResult } from './pipeline.js'

export interface EvaluateOptions
  extends ObjectiveOptions,
    PlacementOptions,
    Pick<CompileFunctionOptions, 'device' | 'precision'> {
  /** Default 256. */
  batchSize?: number
  signal?: AbortSignal
}

const EVALUATE = ['loss', 'metrics', 'batchSize', 'device', 'precision', 'dataOnDevice', 'signal'] as const

/**
 * Loss and metrics of a network over a data set, dropout and the like switched off.
 *
 * @throws AbortError, or the signal's reason, when cancelled.
 */
export async function evaluateModel(
  model: Trainable,
  dataset: Dataset,
  options: EvaluateOptions = {},
): Promise<Scores> {
  checkOptions('evaluateModel', options, EVALUATE)
  const evaluator = new Evaluator(model, dataset, objectiveOf(options, 'evaluateModel'), options, 'evaluateModel')
  try {
    return await evaluator.run(options.signal)
  } finally {
    evaluator.dispose()
  }
}

/** One data set and one network, compiled once and run any number of times. */
export class Evaluator {
  readonly #feed: Feed
  readonly #step: CompiledStep & { dispose(): void }
  readonly #batchSize: number
  readonly #batches: number | undefined
  readonly #objective: Objective

  constructor(
    model: Trainable,
    dataset: Dataset,
    objective: Objective,
    options: EvaluateOptions & {
      /** At most so many. */
      batches?: number
    },
    who: string,
    role?: string,
  ) {
    checkTrainable(model, who)
    const { batchSize = 256, batches, device, precision } = options
    checkInteger(who, 'batchSize', batchSize)
    this.#batchSize = batchSize
    this.#batches = batches
    this.#objective = objective
    this.#feed = feedOf(dataset, who, resolveDevice(device), options, role)
    this.#step = compile(
      (...args: Tensor[]): StepResult => {
        const { x, y } = this.#feed.read(args)
        return objective.score(
          inMode(model, false, () => model.forward(x)),
          y,
        )
      },
      { device, precision },
    )
  }

  async run(signal?: AbortSignal): Promise<Scores> {
    const sum = new ScoreSum(this.#objective.metrics)
    await runBatches(
      () => this.#step,
      this.#feed.batches({ batchSize: this.#batchSize, end: this.#batches }),
      ({ length, loss, sums }) => {
        sum.add(length, loss, sums)
        return true
      },
      { signal },
    )
    return sum.mean()
  }

  dispose(): void {
    this.#step.dispose()
    this.#feed.dispose()
  }
}

export interface PredictOptions {
  device?: string
  /** Samples at once. Default 256. */
  batchSize?: number
}

/**
 * The network's answer to `x`, in inference mode, already computed.
 *
 * @param x (N, ...) as forward() takes it
 */
export async function predict(model: Trainable, x: Tensor, options: PredictOptions = {}): Promise<Tensor> {
  const { batchSize = 256 } = checkOptions('predict', options, ['device', 'batchSize'])
  checkTrainable(model, 'predict')
  checkInteger('predict', 'batchSize', batchSize)
  if (!(x instanceof Tensor) || x.rank === 0) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `predict: a tensor (N, ...) was expected, got ${x instanceof Tensor ? 'a scalar' : describeGiven(x)}`,
      {
        hint:
          x instanceof Tensor
            ? 'a single sample needs a batch axis: reshape(x, [1, ...x.shape])'
            : 'make one with tensor(); of a data set, from the x and xShape of its batches()',
      },
    )
  }
  // Not compiled but evaluated: the program is kept by the structure of the graph, so a changed network is never stale.
  const device = resolveDevice(options.device)
  const forward = async (input: Tensor): Promise<Tensor> => {
    const output = inMode(model, false, () => model.forward(input))
    if (!(output instanceof Tensor)) {
      throw new ForjaError('ERR_ARGUMENT', `predict: forward() must give a tensor, got ${describeGiven(output)}`)
    }
    return fromData((await evaluate([output.value], device))[0]!, output.shape, output.dtype)
  }
  const count = x.shape[0]!
  if (count <= batchSize) return await forward(x)
  const [data] = await evaluate([x.value], device)
  const size = sizeOfShape(x.shape.slice(1))
  const parts: Tensor[] = []
  for (let from = 0; from < count; from += batchSize) {
    const to = Math.min(from + batchSize, count)
    parts.push(await forward(fromData(data!.slice(from * size, to * size), [to - from, ...x.shape.slice(1)], x.dtype)))
  }
  return concatenate(parts)
}

/** Computed tensors one after another along their first axis. */
function concatenate(parts: readonly Tensor[]): Tensor {
  const { shape, dtype } = parts[0]!
  const total = parts.reduce((rows, part) => rows + part.shape[0]!, 0)
  const out = allocate(dtype, total * sizeOfShape(shape.slice(1)))
  let at = 0
  for (const { value } of parts) {
    out.set(value.resident!, at)
    at += value.resident!.length
  }
  return fromData(out, [total, ...shape.slice(1)], dtype)
}
