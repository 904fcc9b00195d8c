// The formulas of the lecture, one optimizer each. θ moves by what a rule gives for the gradient g and the rate α.
import * as fj from 'forja'

const { add, div, mul, sqrt, square, sub } = fj

/** What keeps its value from step to step; `set` says what it becomes. */
type Make = (shape: readonly number[]) => fj.Variable
const SHAPE = [785, 10]
export const set = (variable: fj.Variable, value: fj.Tensor) => {
  void variable.assign(value) // inside compile(): takes effect when the step is done
  return value
}
const average = (mean: fj.Tensor, value: fj.Tensor, share: number) => add(mul(mean, share), mul(value, 1 - share))

export interface Rule {
  formula: string
  /** α */
  lr: number
  /** θ minus what? Given the gradient g and α. */
  rule(state: Make): (g: fj.Tensor, lr: number) => fj.Tensor
  /** The optimizer that does the same, in one native pass. */
  twin(p: fj.Variable[], lr: number): fj.optim.Optimizer
  /** All samples at once. */
  fullBatch?: boolean
}

const plain: Pick<Rule, 'rule' | 'twin'> = {
  rule: () => (g, lr) => mul(g, lr),
  twin: (p, lr) => new fj.optim.SGD(p, { lr }),
}
export const RULES: Record<string, Rule> = {
  'gradient descent': { ...plain, formula: 'θ ← θ − α ∇C, C over all samples', lr: 0.05, fullBatch: true },
  SGD: { ...plain, formula: 'θ ← θ − α g, g = ∇C over 32 samples', lr: 0.1 },
  momentum: {
    formula: 'v ← γ v + α g;  θ ← θ − v',
    lr: 0.02,
    rule: (state) => {
      const v = state(SHAPE)
      return (g, lr) => set(v, add(mul(v, 0.9), mul(g, lr)))
    },
    twin: (p, lr) => new fj.optim.SGD(p, { lr, momentum: 0.9 }),
  },
  Nesterov: {
    formula: 'v ← γ v + g;  θ ← θ − α (g + γ v)',
    lr: 0.02,
    rule: (state) => {
      const v = state(SHAPE)
      return (g, lr) => mul(add(g, mul(set(v, add(mul(v, 0.9), g)), 0.9)), lr)
    },
    twin: (p, lr) => new fj.optim.SGD(p, { lr, momentum: 0.9, nesterov: true }),
  },
  AdaGrad: {
    formula: 'G ← G + g²;  θ ← θ − α g / (√G + ε)',
    lr: 0.05,
    rule: (state) => {
      const G = state(SHAPE)
      return (g, lr) => div(mul(g, lr), add(sqrt(set(G, add(G, square(g)))), 1e-10))
    },
    twin: (p, lr) => new fj.optim.Adagrad(p, { lr }),
  },
  RMSprop: {
    formula: 'E ← ρ E + (1 − ρ) g²;  θ ← θ − α g / (√E + ε)',
    lr: 0.003,
    rule: (state) => {
      const E = state(SHAPE)
      return (g, lr) => div(mul(g, lr), add(sqrt(set(E, average(E, square(g), 0.99))), 1e-8))
    },
    twin: (p, lr) => new fj.optim.RMSprop(p, { lr }),
  },
  AdaDelta: {
    formula: 'E ← ρ E + (1 − ρ) g²;  Δ = √(D + ε) / √(E + ε) · g;  D ← ρ D + (1 − ρ) Δ²;  θ ← θ − α Δ',
    lr: 1,
    rule: (state) => {
      const [E, D] = [state(SHAPE), state(SHAPE)]
      return (g, lr) => {
        const root = (x: fj.Tensor) => sqrt(add(x, 1e-6))
        const delta = mul(div(root(D), root(set(E, average(E, square(g), 0.9)))), g)
        set(D, average(D, square(delta), 0.9))
        return mul(delta, lr)
      }
    },
    twin: (p, lr) => new fj.optim.Adadelta(p, { lr }),
  },
  Adam: {
    formula: 'm ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  θ ← θ − α m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)',
    lr: 0.003,
    rule: (state) => {
      const [m, v, t] = [state(SHAPE), state(SHAPE), state([])]
      return (g, lr) => {
        const now = set(t, add(t, 1))
        const unbiased = (mean: fj.Tensor, beta: number) => div(mean, sub(1, fj.pow(beta, now)))
        const [first, second] = [set(m, average(m, g, 0.9)), set(v, average(v, square(g), 0.999))]
        return div(mul(unbiased(first, 0.9), lr), add(sqrt(unbiased(second, 0.999)), 1e-8))
      }
    },
    twin: (p, lr) => new fj.optim.Adam(p, { lr }),
  },
}
