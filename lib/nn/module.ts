/**
 * `Module`: what layers and networks are made of.
 *
 * The constructor wraps `forward`, so that every call knows which layer runs within which: shape errors, the printed
 * graph and summaries name the path.
 */
import { describeGiven, ForjaError } from '../errors.js'
import { withScope } from '../ops/registry.js'
import { checkOptions } from '../options.js'
import { evaluate } from '../runtime/evaluate.js'
import type { Tensor } from '../tensor.js'
import { Variable } from '../variable.js'
import { type LoadOptions, type LoadReport, loadVariables } from './load_state.js'
import { type Summary, type SummaryOptions, summarize } from './summary.js'

/** Values by name, as they were when read. */
export type StateDict = Record<string, Tensor>

/** A module whatever it takes and gives. */
export type AnyModule = Module<never[], unknown>

/**
 * A layer or network. A subclass keeps its layers and variables in fields and computes in `forward`:
 *
 *     class Net extends Module {
 *       conv = new Conv2d(1, 6, 5)
 *       heads = [new Linear(10, 2), new Linear(10, 3)]
 *       experts = { left: new Linear(10, 2), right: new Linear(10, 2) }
 *       forward(x: Tensor) { ... this.conv.forward(x) ... }
 *     }
 *
 * Fields are found in the order of their definition, but for private ones (#conv), which nobody sees; a layer's path is
 * the fields that lead to it: `conv`, `heads.0`, `experts.left`.
 * A variable is called by the name it was given, else by its field, so `conv.weight`, `bn1.running_mean` are PyTorch's
 * names. Own variables come before those of children.
 *
 * What takes or gives anything else than tensors says so: `class VAE extends Module<[x: Tensor], { mean: Tensor }>`.
 */
export abstract class Module<Inputs extends unknown[] = Tensor[], Output = Tensor> {
  /** Layers that behave differently in training (dropout, batch normalisation) look here; a compiled function keeps
   * the mode in which it was traced. */
  training = true

  constructor() {
    const forward = this.forward as ((...inputs: Inputs) => Output) | undefined
    if (typeof forward !== 'function') {
      throw new ForjaError('ERR_ARGUMENT', `${this.constructor.name} needs a method forward()`)
    }
    const value = (...inputs: Inputs): Output => call(this, () => forward.apply(this, inputs))
    Object.defineProperty(this, 'forward', { value, writable: true, configurable: true })
  }

  abstract forward(...inputs: Inputs): Output

  /**
   * Ways to run a network besides `forward`, such as an encoder alone, wrap their body in this, so that messages name
   * the layers in it from here on.
   */
  protected within<T>(body: () => T): T {
    return call(this, body)
  }

  /** @internal Named values that may be or hold layers and variables; containers override it. */
  members(): [string, unknown][] {
    return Object.entries(this)
  }

  /** @internal Puts another value in the place of the one that `members`, arrays and objects opened, call `name`. */
  setMember(name: string, value: unknown): void {
    const keys = name.split('.')
    const last = keys.pop()!
    const holder = keys.reduce((at: unknown, key) => (at as Record<string, unknown>)[key], this)
    Reflect.set(holder as object, last, value)
  }

  /** What `summary` prints behind the type, such as the size of a kernel. */
  detail(): string {
    return ''
  }

  /** The layers directly inside, with their names. */
  namedChildren(): [string, AnyModule][] {
    return flatMembers(this.members()).filter((entry): entry is [string, AnyModule] => entry[1] instanceof Module)
  }

  /** This module (named '') and every one inside, each once. */
  namedModules(): [string, AnyModule][] {
    const found = new Map<AnyModule, string>()
    visit(this, '', [], (module, path) => {
      if (!found.has(module)) found.set(module, path)
    })
    return [...found].map(([module, path]) => [path, module])
  }

  /** The variables held directly, parameters and buffers, with their names. */
  ownVariables(): [string, Variable][] {
    const own = flatMembers(this.members()).filter((entry): entry is [string, Variable] => entry[1] instanceof Variable)
    const named = own.map(([field, v]): [string, Variable] => [v.isNamed ? v.name! : field, v])
    const names = new Set<string>()
    for (const [name] of named) {
      if (names.has(name))
        throw new ForjaError('ERR_ARGUMENT', `${this.constructor.name}: two variables called '${name}'`)
      names.add(name)
    }
    return named
  }

  /** Trained variables and their names; one that is shared appears once, under its first name. */
  namedParameters(): [string, Variable][] {
    return unique(this.namedVariables()).filter(([, v]) => !v.isBuffer)
  }

  parameters(): Variable[] {
    return this.namedParameters().map(([, v]) => v)
  }

  /** State that is not trained, such as running statistics, and its names. */
  namedBuffers(): [string, Variable][] {
    return unique(this.namedVariables()).filter(([, v]) => v.isBuffer)
  }

  buffers(): Variable[] {
    return this.namedBuffers().map(([, v]) => v)
  }

  /** Parameters and buffers under every name they have: what a state dictionary holds. */
  namedVariables(): [string, Variable][] {
    const found: [string, Variable][] = []
    visit(this, '', [], (module, path) => {
      for (const [name, variable] of module.ownVariables()) found.push([path ? `${path}.${name}` : name, variable])
    })
    return found
  }

  /** Parameters and buffers as they are now; later training does not change what was returned. */
  async stateDict(): Promise<StateDict> {
    const variables = this.namedVariables()
    const values = await Promise.all(variables.map(([, variable]) => variable.snapshot()))
    await evaluate(values.map((tensor) => tensor.value))
    return Object.fromEntries(variables.map(([name], i) => [name, values[i]!]))
  }

  /**
   * Takes over parameters and buffers; nothing changes where something does not fit.
   *
   * @param options strict: false ignores names that only one side has.
   * @throws ERR_ARGUMENT listing missing and unexpected names; ERR_SHAPE, ERR_DTYPE naming tensor and both shapes.
   */
  async loadStateDict(dict: Readonly<StateDict>, options: LoadOptions = {}): Promise<LoadReport> {
    checkOptions('loadStateDict', options, ['strict'])
    return await loadVariables(this.namedVariables(), dict, options, 'loadStateDict')
  }

  /** Training mode, here and in every layer inside. */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode
    return this
  }

  /** Inference mode: dropout passes everything, batch normalisation uses its running statistics. */
  eval(): this {
    return this.train(false)
  }

  /**
   * Optimizers leave these parameters alone from the next traced step on, and no gradients are computed for them. As in
   * PyTorch, that does not touch batch normalisation's running statistics: in training mode it goes on normalising with
   * the batch's mean and variance and moving them. A body whose statistics shall stay needs `eval()` too, which fit()
   * respects, layer by layer: `model.features.freeze().eval()`.
   */
  freeze(): this {
    for (const parameter of this.parameters()) parameter.trainable = false
    return this
  }

  /**
   * The reverse of freeze(). An optimizer counts its steps for all of its parameters together, so one that has taken many
   * without these, such as Adam, takes too long first steps with them: make a new one.
   */
  unfreeze(): this {
    for (const parameter of this.parameters()) parameter.trainable = true
    return this
  }

  /** Layers, output shapes, parameters and multiply-accumulates, found by tracing: nothing is computed. */
  summary(options: SummaryOptions): Summary {
    checkOptions('summary', options, ['input', 'dtype', 'name'])
    return summarize(this, options)
  }

  /** Releases the memory of all variables. */
  dispose(): void {
    for (const [, variable] of this.namedVariables()) variable.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * Arrays and plain objects opened: ['heads', [a, b]] becomes ['heads.0', a], ['heads.1', b].
 *
 * @param holders what the members lie in: an object that holds one of these does not go round
 */
function flatMembers(members: readonly [string, unknown][], holders: readonly unknown[] = []): [string, unknown][] {
  return members.flatMap(([name, value]): [string, unknown][] => {
    if (!isPlain(value)) return [[name, value]]
    if (holders.includes(value)) return []
    const inside = Object.entries(value).map(([key, item]): [string, unknown] => [`${name}.${key}`, item])
    return flatMembers(inside, [...holders, value])
  })
}

/** An array or an object literal. */
function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) || prototype === Object.prototype || prototype === null
}

/** Every module below `module`, parents first; a module that holds one of its `ancestors` does not go round. */
function visit(
  module: AnyModule,
  path: string,
  ancestors: readonly AnyModule[],
  action: (module: AnyModule, path: string) => void,
): void {
  if (ancestors.includes(module)) return
  action(module, path)
  for (const [name, child] of module.namedChildren()) {
    visit(child, path ? `${path}.${name}` : name, [...ancestors, module], action)
  }
}

function unique(variables: readonly [string, Variable][]): [string, Variable][] {
  const seen = new Set<Variable>()
  return variables.filter(([, variable]) => !seen.has(variable) && seen.add(variable))
}

/** Called when a layer begins to run; the answer when it has run. */
export type CallObserver = (module: AnyModule) => (output: unknown) => void

const running: AnyModule[] = []
let observer: CallObserver | null = null

/** Runs `body` and tells `callback` of every forward() meanwhile. */
export function observeCalls<T>(callback: CallObserver, body: () => T): T {
  const before = observer
  observer = callback
  try {
    return body()
  } finally {
    observer = before
  }
}

function call<T>(module: AnyModule, forward: () => T): T {
  const caller = running.at(-1)
  const body = (): T => {
    const done = observer?.(module)
    const output = forward()
    done?.(output)
    return output
  }
  if (caller === undefined) nameVariables(module)
  const path = caller === undefined ? '' : pathFrom(caller, module)
  running.push(module)
  try {
    return path === '' ? body() : withScope(path, body)
  } finally {
    running.pop()
  }
}

/** The way from a running module to one that it calls; a layer that it does not hold is called by its type. */
function pathFrom(caller: AnyModule, module: AnyModule): string {
  for (const [name, child] of caller.namedChildren()) if (child === module) return name
  for (const [path, inner] of caller.namedModules()) if (inner === module) return path
  return module.constructor.name
}

const named = new WeakSet<AnyModule>()

/** Gives variables their full names, for messages: once for each outermost module that runs. */
function nameVariables(root: AnyModule): void {
  if (named.has(root)) return
  named.add(root)
  for (const [name, variable] of root.namedVariables().reverse()) variable.state.name = name
}

/** @throws ERR_ARGUMENT unless `model` has what a Module has */
export function requireModule(what: string, model: unknown): AnyModule {
  if (typeof (model as AnyModule | null)?.namedVariables === 'function') return model as AnyModule
  throw new ForjaError('ERR_ARGUMENT', `${what}: model must be a Module, got ${describeGiven(model)}`)
}
