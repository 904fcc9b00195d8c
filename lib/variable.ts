/**
 * `Variable`: a tensor whose value persists on a device and can be assigned.
 *
 * Its memory may hold the elements in another order of axes than its shape shows (`storageAxes`): convolution weights
 * are (K, C, R, S) to the user and lie as (R, S, C, K), so that no program has to transpose them.
 */
import { fromData, zeros } from './create.js'
import { ForjaError } from './errors.js'
import type { Assignment, Value } from './graph/graph.js'
import { requireTensors } from './ops/check_call.js'
import { makeLeaf } from './ops/creation.js'
import { transpose } from './ops/shape.js'
import { checkOptions } from './options.js'
import { activeTrace } from './runtime/compile.js'
import { forgetVariable } from './runtime/evaluate.js'
import { VariableState } from './runtime/state.js'
import { formatShape, inversePermutation, sameShape } from './shape.js'
import { Tensor } from './tensor.js'

export interface VariableOptions {
  /** For messages and state dictionaries. */
  name?: string
  /** Storage axis i is axis storageAxes[i] of the shape. Default: as it is. */
  storageAxes?: readonly number[]
  /** State that no optimizer changes, such as running statistics: `buffers()` of a module, not `parameters()`. */
  buffer?: boolean
}

let unnamed = 0

const living = new Set<WeakRef<Variable>>()
const collected = new FinalizationRegistry<{ state: VariableState; reference: WeakRef<Variable> }>(
  ({ state, reference }) => {
    living.delete(reference)
    forgetVariable(state)
  },
)

/** Every variable that was neither disposed nor garbage collected, in the order they were made. */
export function livingVariables(): Variable[] {
  return [...living].flatMap((reference) => {
    const variable = reference.deref()
    return variable && !variable.isDisposed ? [variable] : []
  })
}

export class Variable extends Tensor {
  readonly state: VariableState
  /** The value as it lies in memory. */
  readonly storage: Tensor
  /** Optimizers change it; false for buffers and after `freeze()` of a module. Read when a step is traced. */
  trainable: boolean
  readonly isBuffer: boolean
  /** A name was given, not made up: modules use it in place of the field's. */
  readonly isNamed: boolean
  readonly #axes: readonly number[]
  readonly #reference: WeakRef<Variable>

  constructor(initial: Tensor, options: VariableOptions = {}) {
    checkOptions('variable', options, ['name', 'storageAxes', 'buffer'])
    requireTensors('variable', { initial })
    const axes = options.storageAxes ?? initial.shape.map((_, i) => i)
    const stored = transpose(initial, axes)
    const name = options.name ?? `variable ${unnamed++}`
    const state = new VariableState(name, { shape: stored.shape, dtype: stored.dtype }, stored.value)
    const storage = new Tensor(makeLeaf(state, state.type), name)
    super(transpose(storage, inversePermutation(axes)).value, name)
    this.state = state
    this.storage = storage
    this.#axes = axes
    this.isBuffer = options.buffer ?? false
    this.trainable = !this.isBuffer
    this.isNamed = options.name !== undefined
    this.#reference = new WeakRef<Variable>(this)
    living.add(this.#reference)
    collected.register(this, { state, reference: this.#reference }, this.#reference)
  }

  /** @internal A tensor of this variable's shape, its gradient for one, as the variable lies in memory. */
  toStorage(value: Tensor): Tensor {
    return transpose(value, this.#axes)
  }

  /** @internal Zeros of this variable's shape and dtype, lying in memory as it does: what adds up its gradients. */
  zerosLike(name: string): Variable {
    return new Variable(zeros(this.shape, { dtype: this.dtype }), { name, storageAxes: this.#axes, buffer: true })
  }

  /** The value at this moment, as a tensor that later assignments do not change. */
  async snapshot(): Promise<Tensor> {
    const stored = fromData(await this.state.read(), this.storage.shape, this.dtype)
    return transpose(stored, inversePermutation(this.#axes))
  }

  /**
   * Gives the variable a new value of the same shape and dtype. Inside a compiled function the assignment takes effect
   * when the call succeeds; outside, before whatever is called after it, and the promise says when it is over.
   *
   * @throws ERR_SHAPE, ERR_DTYPE for a value that does not fit, ERR_DISPOSED; inside a compiled function at once, since
   *   nobody waits for a promise there.
   */
  assign(value: Tensor): Promise<void> {
    if (activeTrace() === null) return this.#write(value)
    this.#record(this.assignment(value).value)
    return Promise.resolve()
  }

  async #write(value: Tensor): Promise<void> {
    await this.state.assign(this.assignment(value).value)
  }

  /** @internal What assigns `value`, in a program that is yet to be made. */
  assignment(value: Tensor): Assignment {
    this.#check(value)
    return { variable: this.state, value: this.toStorage(value).value }
  }

  /** @internal What the function being traced has assigned so far; before that, and outside of any, the variable. */
  get assigned(): Tensor {
    const value = activeTrace()?.assignments.get(this.state)
    return value ? transpose(new Tensor(value), inversePermutation(this.#axes)) : this
  }

  /** @internal As assign, of a value in storage order; only while tracing. */
  assignStorage(value: Tensor): void {
    if (!this.#record(value.value)) throw new ForjaError('ERR_INTERNAL', 'assignStorage outside a compiled function')
  }

  #record(value: Value): boolean {
    const trace = activeTrace()
    trace?.assignments.set(this.state, value)
    return trace !== null
  }

  #check(value: Tensor): void {
    requireTensors('assign', { value })
    if (!sameShape(value.shape, this.shape)) {
      throw new ForjaError(
        'ERR_SHAPE',
        `assign: variable '${this.name}' has shape ${formatShape(this.shape)}, the value ${formatShape(value.shape)}`,
      )
    }
    if (value.dtype !== this.dtype) {
      throw new ForjaError('ERR_DTYPE', `assign: variable '${this.name}' is ${this.dtype}, the value ${value.dtype}`)
    }
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.state.dispose()
      living.delete(this.#reference)
      collected.unregister(this.#reference)
    }
    super.dispose()
  }
}

/** A persistent variable with this initial value. */
export function variable(initial: Tensor, options: VariableOptions = {}): Variable {
  requireTensors('variable', { initial })
  return new Variable(initial, options)
}
