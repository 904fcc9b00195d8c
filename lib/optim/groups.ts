/**
 * Groups of parameters: those that share a learning rate and a weight decay.
 */
import { isFloat } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { makeLeaf } from '../ops/creation.js'
import { checkOptions } from '../options.js'
import { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'

/** Parameters with options of their own; those of the optimizer hold where a group names none. */
export interface ParameterGroup {
  readonly params: readonly Variable[]
  /** Kept as a multiple of the optimizer's lr: a schedule, which sets that, moves all groups in proportion. */
  readonly lr?: number
  readonly weightDecay?: number
}

/** What an optimizer updates. */
export type Parameters = readonly Variable[] | readonly ParameterGroup[]

/** A group as its optimizer keeps it. */
export class OptimizerGroup {
  readonly params: readonly Variable[]
  readonly weightDecay: number
  /** @internal The rate as a multiple of the optimizer's. */
  scale = 1
  /** @internal A scalar read at every run. */
  readonly lrLeaf: Tensor
  readonly #optimizer: { readonly lr: number }
  readonly #who: string

  /** @internal */
  constructor(
    optimizer: { readonly lr: number },
    { params, lr, weightDecay }: ParameterGroup,
    defaultDecay: number,
    who: string,
  ) {
    this.params = params
    this.weightDecay = checkRate(weightDecay ?? defaultDecay, `${who}: weightDecay`)
    this.#optimizer = optimizer
    this.#who = who
    if (lr !== undefined) this.lr = lr
    this.lrLeaf = new Tensor(
      makeLeaf({ kind: 'hostScalar', name: 'lr', read: () => this.lr }, { shape: [], dtype: 'float32' }),
    )
  }

  /** The learning rate of these parameters; a change holds from the next call of a compiled step on. */
  get lr(): number {
    return this.#optimizer.lr * this.scale
  }

  set lr(value: number) {
    checkRate(value, `${this.#who}: lr`)
    const { lr } = this.#optimizer
    if (lr === 0) {
      throw new ForjaError('ERR_ARGUMENT', `${this.#who}: lr ${value} is no multiple of the optimizer's, which is 0`, {
        hint: 'give the optimizer a learning rate above 0; groups keep theirs as multiples of it',
      })
    }
    this.scale = value / lr
  }
}

/** The groups, and what to call each in messages. */
export function checkGroups(
  parameters: Parameters,
  name: string,
): { groups: readonly ParameterGroup[]; who: (index: number) => string } {
  const grouped = (list: Parameters): list is readonly ParameterGroup[] =>
    Array.isArray(list) && list.some((entry) => typeof entry === 'object' && entry !== null && 'params' in entry)
  if (!grouped(parameters)) return { groups: [{ params: parameters }], who: () => name }
  for (const [i, group] of parameters.entries()) {
    if (!Array.isArray(group?.params) || group.params.length === 0) {
      throw new ForjaError('ERR_ARGUMENT', `${name}: group ${i} needs params, an array of parameters`, {
        hint: `new ${name}([{ params: body.parameters(), lr: 1e-4 }, { params: head.parameters() }], { ... })`,
      })
    }
    checkOptions(`${name}: group ${i}`, group, ['params', 'lr', 'weightDecay'])
  }
  return { groups: parameters, who: (index) => `${name}: group ${index}` }
}

/** The parameters, each once. */
export function checkParameters(parameters: readonly Variable[], who: string): readonly Variable[] {
  if (!Array.isArray(parameters) || parameters.length === 0) {
    const given = Array.isArray(parameters) ? 'an empty one' : describeGiven(parameters)
    throw new ForjaError('ERR_ARGUMENT', `${who}: an array of parameters was expected, got ${given}`, {
      hint: `new ${who}(model.parameters(), { ... })`,
    })
  }
  const seen = new Map<Variable, number>()
  for (const [i, parameter] of parameters.entries()) {
    if (!(parameter instanceof Variable)) {
      throw new ForjaError('ERR_ARGUMENT', `${who}: parameter ${i} must be a variable, got ${describeGiven(parameter)}`)
    }
    if (!isFloat(parameter.dtype)) {
      throw new ForjaError('ERR_DTYPE', `${who}: parameter ${i} ('${parameter.name}') is ${parameter.dtype}`)
    }
    const first = seen.get(parameter)
    if (first !== undefined) {
      throw new ForjaError(
        'ERR_ARGUMENT',
        `${who}: parameters ${first} and ${i} are the same variable '${parameter.name}'`,
        { hint: 'a shared parameter is listed once; its gradients add up' },
      )
    }
    seen.set(parameter, i)
  }
  return [...parameters]
}

/** `value` if it is a finite number from `low` up to, but without, `high`. */
export function checkRate(value: number, what: string, low = 0, high = Number.POSITIVE_INFINITY): number {
  if (typeof value !== 'number' || !(value >= low && value < high)) {
    const range = high === Number.POSITIVE_INFINITY ? `a finite number from ${low}` : `a number in [${low}, ${high})`
    throw new ForjaError('ERR_ARGUMENT', `${what} is ${describeGiven(value)}; expected ${range}`)
  }
  return value
}
