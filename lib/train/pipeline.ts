/**
 * Running a compiled step over batches with several calls in flight, so that the device never waits for JavaScript. The
 * calls queue in the native executor in their order; results are taken in the same order.
 */
import type { TypedArray } from '../dtype.js'
import type { CallOptions } from '../runtime/compile.js'
import { evaluate } from '../runtime/evaluate.js'
import type { Tensor } from '../tensor.js'
import type { FeedBatch } from './feed.js'
import { type BatchSums, mapSums } from './objective.js'

/** What a compiled step returns. */
export type StepResult = { loss: Tensor; sums: BatchSums<Tensor> }

export type CompiledStep = (...args: [...Tensor[], CallOptions] | Tensor[]) => Promise<StepResult>

export interface BatchResult {
  /** From 1, within the epoch. */
  step: number
  length: number
  loss: number
  sums: BatchSums<TypedArray>
}

export interface PipelineOptions {
  signal?: AbortSignal
  /** Batches before the first one that were run earlier. Default 0. */
  done?: number
  /** Whether no later step may be in flight when this one's result is taken. Default: never. */
  waitsAt?: (step: number) => boolean
}

/** Calls in flight. */
const WINDOW = 4

interface Pending extends Pick<BatchResult, 'step' | 'length'> {
  result: Promise<StepResult>
}

/**
 * Calls `take` with every result, in order, until it answers false. Rejects with the first failure. No call is in flight
 * any more when the promise settles.
 *
 * @param stepAt the compiled function that runs a batch, by the batch's number
 */
export async function runBatches(
  stepAt: (step: number) => CompiledStep,
  batches: AsyncIterable<FeedBatch>,
  take: (result: BatchResult) => boolean | undefined | Promise<boolean | undefined>,
  { signal, done = 0, waitsAt = () => false }: PipelineOptions = {},
): Promise<void> {
  const pending: Pending[] = []
  const settle = async (): Promise<boolean> => {
    const { result, ...batch } = pending.shift()!
    return (await take({ ...batch, ...(await read(await result)) })) !== false
  }
  let count = done
  let more = true
  try {
    for await (const { args, length } of batches) {
      signal?.throwIfAborted()
      const step = stepAt(++count)
      const result = signal ? step(...args, { signal }) : step(...args)
      result.catch(() => {}) // reported when its turn comes
      pending.push({ step: count, length, result })
      const left = waitsAt(count) ? 0 : WINDOW - 1
      while (more && pending.length > left) more = await settle()
      if (!more) break
    }
    while (more && pending.length > 0) more = await settle()
  } finally {
    await Promise.allSettled(pending.map(({ result }) => result))
  }
}

/** The numbers of a result, which lie on the host already. */
async function read({ loss, sums }: StepResult): Promise<Pick<BatchResult, 'loss' | 'sums'>> {
  const tensors = [loss, ...Object.values(sums).flatMap((group) => Object.values(group))]
  const data = await evaluate(tensors.map((tensor) => tensor.value))
  const byTensor = new Map(tensors.map((tensor, i) => [tensor, data[i]!]))
  return { loss: data[0]![0]!, sums: mapSums(sums, (tensor) => byTensor.get(tensor)!) }
}
