/**
 * Running a compiled step over batches with several calls in flight, so that the device never waits for JavaScript. The
 * calls queue in the native executor in their order; results are taken in the same order.
 */
import type { CallOptions } from '../runtime/compile.js'
import type { Tensor } from '../tensor.js'
import type { FeedBatch } from './feed.js'

export interface StepResult {
  loss: Tensor
  correct?: Tensor
}

export type CompiledStep = (...args: [...Tensor[], CallOptions] | Tensor[]) => Promise<StepResult>

export interface BatchResult {
  /** From 1. */
  step: number
  length: number
  loss: number
  correct: number | undefined
}

export interface PipelineOptions {
  signal?: AbortSignal
  /** Calls in flight. Default 4. */
  window?: number
  /** After a step was sent off. */
  onSent?: () => void
}

interface Pending extends Pick<BatchResult, 'step' | 'length'> {
  result: Promise<StepResult>
}

/** Calls `take` with every result, in order. Rejects with the first failure, when no call is in flight any more. */
export async function runBatches(
  step: CompiledStep,
  batches: AsyncIterable<FeedBatch>,
  take: (result: BatchResult) => void | Promise<void>,
  { signal, window = 4, onSent }: PipelineOptions = {},
): Promise<void> {
  const pending: Pending[] = []
  const settle = async (): Promise<void> => {
    const { result, ...batch } = pending.shift()!
    const { loss, correct } = await result
    await take({ ...batch, loss: await loss.item(), correct: await correct?.item() })
  }
  let count = 0
  try {
    for await (const { args, length } of batches) {
      signal?.throwIfAborted()
      const result = signal ? step(...args, { signal }) : step(...args)
      result.catch(() => {}) // reported when its turn comes
      pending.push({ step: ++count, length, result })
      onSent?.()
      if (pending.length >= window) await settle()
    }
    while (pending.length > 0) await settle()
  } catch (error) {
    await Promise.allSettled(pending.map(({ result }) => result))
    throw error
  }
}
