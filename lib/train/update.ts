/**
 * The update that a training step makes of its loss: the optimizer's alone, or, of gradients that are added up over
 * several batches, clipped, or both.
 *
 * Over batches of n₁ .. n_k samples with mean losses L₁ .. L_k the gradient of all samples together is
 * Σ nᵢ ∇Lᵢ / Σ nᵢ: that of one large batch, whatever the sizes.
 */
import { zeros } from '../create.js'
import { add, div, mul } from '../ops/elementwise.js'
import type { Optimizer } from '../optim/optimizer.js'
import { clipGradNorm } from '../optim/penalty.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'

export interface UpdateOptions {
  /** Batches whose gradients make one update. Default 1. */
  accumulate?: number
  /** The largest norm that all gradients together may have; larger ones are scaled down to it. */
  clipGradNorm?: number
}

export class Update {
  /** Σ nᵢ ∇Lᵢ, one a parameter; none where every batch is an update. */
  readonly #sums: Variable[]
  /** Σ nᵢ */
  readonly #samples: Variable

  constructor(
    private readonly optimizer: Optimizer,
    private readonly options: UpdateOptions,
  ) {
    const { parameters } = optimizer
    this.#sums = (options.accumulate ?? 1) > 1 ? parameters.map((p) => p.zerosLike(`gradient of ${p.name}`)) : []
    this.#samples = new Variable(zeros([]), { name: 'samples', buffer: true })
  }

  /**
   * While tracing a step.
   *
   * @param samples in the batch
   * @param last whether the parameters are updated; otherwise the gradients are only added up
   */
  trace(loss: Tensor, samples: number, last: boolean): void {
    const { optimizer } = this
    const { clipGradNorm: max } = this.options
    if (this.#sums.length === 0 && max === undefined) {
      optimizer.minimize(loss)
      return
    }
    let gradients = optimizer.gradients(loss)
    if (this.#sums.length > 0) gradients = this.#addUp(gradients, samples, last)
    if (last) optimizer.step(max === undefined ? gradients : clipGradNorm(gradients, max))
  }

  /** Gradients of the mean over all batches so far; the sums are kept, or, after the last one, begin anew. */
  #addUp(gradients: readonly (Tensor | null)[], samples: number, last: boolean): (Tensor | null)[] {
    const count = add(this.#samples, samples)
    const totals = gradients.map((g, i) => g && add(this.#sums[i]!, mul(g, samples)))
    const next = (variable: Variable, value: Tensor) => variable.assign(last ? zeros(variable.shape) : value)
    void next(this.#samples, count)
    for (const [i, total] of totals.entries()) if (total) void next(this.#sums[i]!, total)
    return totals.map((total) => total && div(total, count))
  }

  /** Forgets gradients that no update has used. */
  async reset(): Promise<void> {
    for (const variable of [...this.#sums, this.#samples]) await variable.assign(zeros(variable.shape))
  }

  dispose(): void {
    for (const variable of [...this.#sums, this.#samples]) variable.dispose()
  }
}
