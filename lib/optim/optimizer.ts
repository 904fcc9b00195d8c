/**
 * What optimizers have in common: the parameters, the learning rate, a count of the steps and the state that belongs to
 * each parameter. `minimize` and `step` are written into a compiled function; what they assign takes effect when a call
 * succeeds, in the same native program as forward and backward.
 *
 * Parameters may come in groups with a rate and a weight decay of their own, such as a small rate for a body that was
 * trained before and a large one for its new head.
 *
 * The count of steps is one for all parameters, where PyTorch counts for each those that gave it a gradient. So what is unfrozen
 * late finds means near 0 and no correction left for that: Adam's first steps are several times lr then. A new optimizer
 * counts from 0.
 *
 * State lies in the parameters' storage layout, so that no update transposes anything.
 */
import { gradValues } from '../autodiff/grad.js'
import { fromData } from '../create.js'
import type { DType } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { filled } from '../ops/apply.js'
import { requireArray, requireTensorList, requireTensors } from '../ops/check_call.js'
import { add } from '../ops/elementwise.js'
import { activeTrace, recording } from '../runtime/compile.js'
import { defaultDevice } from '../runtime/device.js'
import { evaluate } from '../runtime/evaluate.js'
import { dependsOnPlaceholder, Operation } from '../runtime/session.js'
import { formatShape, sameShape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { checkGroups, checkParameters, checkRate, OptimizerGroup, type Parameters } from './groups.js'

export interface LearningRate {
  /** Learning rate. */
  lr?: number
}

/** State by name: `step`, `lr`, and `<slot>.<index of the parameter>` such as `velocity.0`; of several groups
 * `scale.<index of the group>`, its rate as a multiple of `lr`. */
export type OptimizerState = Record<string, Tensor>

/** Values of one update that the parameters of a group share. */
export interface Step {
  /** The learning rate, a float32 scalar read at every run. */
  readonly lr: Tensor
  /** Updates done before this one, an int32 scalar. */
  readonly count: Tensor
  readonly weightDecay: number
}

export abstract class Optimizer {
  /** Of all groups, in their order. */
  readonly parameters: readonly Variable[]
  /** One that holds everything, unless the parameters were given in groups. */
  readonly groups: readonly OptimizerGroup[]
  #lr: number
  readonly #groupOf: readonly OptimizerGroup[]
  readonly #count: Variable
  readonly #state = new Map<string, Variable>()

  /**
   * @param parameters variables, or groups of them: [{ params: body, lr: 1e-4 }, { params: head }]
   * @param slots names of the arrays of state that each parameter has, each with its initial value
   */
  constructor(
    parameters: Parameters,
    lr: number,
    private readonly slots: Readonly<Record<string, number>> = {},
    weightDecay = 0,
  ) {
    const { groups, who } = checkGroups(parameters, this.name)
    this.parameters = checkParameters(
      groups.flatMap((group) => group.params),
      this.name,
    )
    this.#lr = checkRate(lr, `${this.name}: lr`)
    this.groups = groups.map((group, i) => new OptimizerGroup(this, group, weightDecay, who(i)))
    this.#groupOf = this.groups.flatMap((group) => group.params.map(() => group))
    this.#count = this.stateVariable('step', [], 'int32', 0)
    for (const [slot, initial] of Object.entries(slots)) {
      this.parameters.forEach((parameter, i) => {
        this.stateVariable(`${slot}.${i}`, parameter.storage.shape, parameter.dtype, initial)
      })
    }
  }

  /** For messages. */
  get name(): string {
    return this.constructor.name
  }

  /**
   * The learning rate; a change holds from the next call of a compiled step on, which is not compiled anew. The rates of
   * groups change in proportion.
   */
  get lr(): number {
    return this.#lr
  }

  set lr(value: number) {
    this.#lr = checkRate(value, `${this.name}: lr`)
  }

  /** One more array of state, for constructors. */
  protected stateVariable(name: string, shape: readonly number[], dtype: DType, initial: number): Variable {
    const state = new Variable(filled(shape, initial, dtype), { name: `${this.name}.${name}`, buffer: true })
    this.#state.set(name, state)
    return state
  }

  /** State that all parameters share, by its name. */
  protected shared(name: string): Variable {
    return this.#state.get(name)!
  }

  /**
   * The new values of a parameter and of its slots, in their order.
   *
   * @param p @param g parameter and gradient in storage layout @param state the slots' values
   */
  protected abstract update(p: Tensor, g: Tensor, state: readonly Tensor[], step: Step): readonly Tensor[]

  /** Called once a step, before the updates: assigns shared state. `count`: updates done before, an int32 scalar. */
  protected begin(_count: Tensor): void {}

  /**
   * Differentiates `loss` and updates every parameter that it depends on; frozen ones stay as they are.
   *
   * @param loss a scalar
   * @returns outside a compiled function, where the loss depends on a placeholder: the update, for a session to run
   */
  minimize(loss: Tensor): Operation {
    requireTensors(`${this.name}.minimize`, { loss })
    return this.#operation('minimize', [loss], () => this.#minimize(loss))
  }

  #minimize(loss: Tensor): void {
    const updates = this.#differentiate('minimize', loss, (parameter) => parameter.storage)
    this.#apply(updates.flatMap((gradient, index) => (gradient ? [{ index, gradient }] : [])))
  }

  /**
   * What `minimize` would give to `step`, for something to be done to it in between: one gradient a parameter, in their
   * order and shapes; null for frozen ones and those that the loss does not depend on.
   *
   * @param loss a scalar
   */
  gradients(loss: Tensor): (Tensor | null)[] {
    requireTensors(`${this.name}.gradients`, { loss })
    return this.#differentiate('gradients', loss, (parameter) => parameter)
  }

  #differentiate(method: string, loss: Tensor, of: (parameter: Variable) => Tensor): (Tensor | null)[] {
    if (loss.size !== 1) {
      throw new ForjaError('ERR_SHAPE', `${method}: the loss has shape ${formatShape(loss.shape)}; expected a scalar`, {
        hint: 'reduce it with mean() or sum()',
      })
    }
    const indices = this.#trainable()
    const grads = gradValues(
      [loss.value],
      indices.map((i) => of(this.parameters[i]!).value),
      [filled(loss.shape, 1, loss.dtype)],
    )
    if (grads.every((g) => g === null)) {
      throw new ForjaError('ERR_ARGUMENT', `${this.name}.${method}: the loss depends on no parameter that is trained`, {
        hint: 'give the optimizer the parameters of the model that made the loss, and unfreeze() what shall learn',
      })
    }
    const all: (Tensor | null)[] = this.parameters.map(() => null)
    for (const [i, index] of indices.entries()) all[index] = grads[i]!
    return all
  }

  /**
   * Updates the parameters with these gradients, in the order of `parameters`; null leaves one as it is.
   *
   * @param gradients each in its parameter's shape
   * @returns as minimize
   */
  step(gradients: readonly (Tensor | null)[]): Operation {
    requireArray(`${this.name}.step`, 'gradients', gradients)
    const given = gradients.filter((g) => g !== null)
    requireTensorList(`${this.name}.step`, 'gradients', given)
    return this.#operation('step', given, () => this.#step(gradients))
  }

  #step(gradients: readonly (Tensor | null)[]): void {
    if (gradients.length !== this.parameters.length) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `${this.name}.step: ${gradients.length} gradients for ${this.parameters.length} parameters`,
      )
    }
    const updates = this.#trainable().flatMap((index) => {
      const [parameter, gradient] = [this.parameters[index]!, gradients[index]]
      if (!gradient) return []
      if (!sameShape(gradient.shape, parameter.shape)) {
        throw new ForjaError(
          'ERR_SHAPE',
          `${this.name}.step: gradient ${index} has shape ${formatShape(gradient.shape)}, ` +
            `parameter '${parameter.name}' ${formatShape(parameter.shape)}`,
        )
      }
      return [{ index, gradient: parameter.toStorage(gradient) }]
    })
    this.#apply(updates)
  }

  /** Writes `update` into the function being compiled; into an operation where `sources` need a session's feed. */
  #operation(method: string, sources: readonly Tensor[], update: () => void): Operation {
    const write = () => {
      this.#checkTrace(method)
      update()
    }
    const name = `${this.name}.${method}`
    if (activeTrace() === null && sources.some((t) => dependsOnPlaceholder(t.value))) {
      return new Operation(name, recording(defaultDevice(), write).assignments)
    }
    write()
    return new Operation(name, [])
  }

  #apply(updates: readonly { index: number; gradient: Tensor }[]): void {
    const count = this.#count.storage
    this.begin(count)
    for (const { index, gradient } of updates) {
      const parameter = this.parameters[index]!
      const { lrLeaf: lr, weightDecay } = this.#groupOf[index]!
      const slots = Object.keys(this.slots).map((slot) => this.#state.get(`${slot}.${index}`)!)
      const values = this.update(
        parameter.storage,
        gradient,
        slots.map((slot) => slot.storage),
        { lr, count, weightDecay },
      )
      for (const [i, target] of [parameter, ...slots].entries()) target.assignStorage(values[i]!)
    }
    this.#count.assignStorage(add(this.#count.storage, 1))
  }

  #trainable(): number[] {
    return [...this.parameters.keys()].filter((i) => this.parameters[i]!.trainable)
  }

  #checkTrace(method: string): void {
    const trace = activeTrace()
    if (trace === null) {
      throw new ForjaError('ERR_ARGUMENT', `${this.name}.${method} was called outside a compiled function`, {
        hint: 'write it into the function given to compile(), or train with fit()',
      })
    }
    if (trace.assignments.has(this.#count.state)) {
      throw new ForjaError('ERR_ARGUMENT', `${this.name}: a compiled function may make one step of an optimizer`, {
        hint: 'add the losses up and minimize their sum',
      })
    }
    const taken = this.parameters.find((p) => p.trainable && trace.assignments.has(p.state))
    if (taken) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `${this.name}.${method}: the compiled function already assigns the parameter '${taken.name}'`,
      )
    }
  }

  /** Groups by the name of their state; one alone needs none. */
  #scaled(): Map<string, OptimizerGroup> {
    const { groups } = this
    return new Map(groups.length > 1 ? groups.map((group, i) => [`scale.${i}`, group]) : [])
  }

  /** State and learning rate as they are now: with the parameters, all it takes to go on. */
  async stateDict(): Promise<OptimizerState> {
    const dict: OptimizerState = { lr: fromData(Float64Array.of(this.#lr), [], 'float64') }
    for (const [name, group] of this.#scaled()) dict[name] = fromData(Float64Array.of(group.scale), [], 'float64')
    const values = await Promise.all([...this.#state.values()].map((state) => state.snapshot()))
    for (const [i, name] of [...this.#state.keys()].entries()) dict[name] = values[i]!
    return dict
  }

  /**
   * Goes on where the optimizer that gave `dict` stopped. Nothing changes where something does not fit.
   *
   * @throws ERR_ARGUMENT listing missing and unexpected names; ERR_SHAPE for another shape.
   */
  async loadStateDict(dict: Readonly<OptimizerState>): Promise<void> {
    if (typeof dict !== 'object' || dict === null) {
      const text = `an object of tensors by name was expected, got ${describeGiven(dict)}`
      throw new ForjaError('ERR_ARGUMENT', `${this.name}.loadStateDict: ${text}`)
    }
    requireTensors(`${this.name}.loadStateDict`, dict)
    const wanted = ['lr', ...this.#scaled().keys(), ...this.#state.keys()]
    const missing = wanted.filter((name) => !Object.hasOwn(dict, name))
    const unexpected = Object.keys(dict).filter((name) => !wanted.includes(name))
    if (missing.length + unexpected.length > 0) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `${this.name}.loadStateDict: missing [${missing.join(', ')}], unexpected [${unexpected.join(', ')}]`,
        { hint: 'the state must come from an optimizer of the same kind and options, over the same parameters' },
      )
    }
    for (const [name, state] of this.#state) {
      const value = dict[name]!
      if (!sameShape(value.shape, state.shape) || value.dtype !== state.dtype) {
        throw new ForjaError(
          'ERR_SHAPE',
          `${this.name}.loadStateDict: '${name}' is ${value.dtype} ${formatShape(value.shape)}; ` +
            `expected ${state.dtype} ${formatShape(state.shape)}`,
        )
      }
    }
    const rate = async (name: string) => checkRate(await dict[name]!.item(), `${this.name}.loadStateDict: ${name}`)
    const lr = await rate('lr')
    const scales = await Promise.all([...this.#scaled().keys()].map(rate))
    const values = await evaluate([...this.#state.keys()].map((name) => dict[name]!.value))
    this.#lr = lr
    for (const [i, group] of [...this.#scaled().values()].entries()) group.scale = scales[i]!
    await Promise.all([...this.#state.values()].map(({ state }, i) => state.write(values[i]!)))
  }

  /** Releases the state; the parameters stay. */
  dispose(): void {
    for (const state of this.#state.values()) state.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
