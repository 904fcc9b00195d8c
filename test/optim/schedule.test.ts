import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose, goldenCases } from '../helpers/compare.js'

const KINDS = ['StepLR', 'MultiStepLR', 'ExponentialLR', 'CosineAnnealingLR', 'LinearLR', 'OneCycleLR'] as const
const golden = KINDS.flatMap((kind) =>
  goldenCases(`schedule.${kind[0]!.toLowerCase()}${kind.slice(1)}`).map((test) => ({ ...test, kind })),
)

function optimizer(lr: number): fj.optim.Optimizer {
  return new fj.optim.SGD([fj.variable(fj.ones([1]))], { lr })
}

it.each(golden)('$name', ({ kind, attrs, lrs }) => {
  const { lr, ...options } = attrs as unknown as { lr: number }
  const sgd = optimizer(lr)
  const schedule = new fj.schedule[kind](sgd, options as never)
  const used = lrs!.map(() => {
    const now = sgd.lr
    schedule.step()
    return now
  })
  expectClose(used, lrs!, kind, { rtol: 1e-12, atol: 1e-15 })
})

it.each(golden)('$name goes on from its state', ({ kind, attrs, lrs }) => {
  const { lr, ...options } = attrs as unknown as { lr: number }
  const first = new fj.schedule[kind](optimizer(lr), options as never)
  for (let i = 0; i < 9; i++) first.step()
  const sgd = optimizer(77)
  const second = new fj.schedule[kind](sgd, options as never)
  second.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())))
  expectClose([sgd.lr], [lrs![9]!], kind, { rtol: 1e-12 })
  second.step()
  expectClose([sgd.lr], [lrs![10]!], kind, { rtol: 1e-12 })
})

it('ReduceLROnPlateau falls when a figure stays, as PyTorch', () => {
  const sgd = optimizer(1)
  const schedule = new fj.schedule.ReduceLROnPlateau(sgd, { factor: 0.5, patience: 2, cooldown: 1, minLr: 0.2 })
  const losses = [1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5]
  const rates = losses.map((loss) => {
    schedule.step(loss)
    return sgd.lr
  })
  // torch.optim.lr_scheduler.ReduceLROnPlateau with the same options
  expect(rates).toEqual([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2])
  const small = optimizer(3e-8)
  const falls = new fj.schedule.ReduceLROnPlateau(small, { patience: 0, factor: 0.5 })
  for (const loss of [1, 1, 1, 1]) falls.step(loss)
  expect(small.lr).toBe(1.5e-8) // the next fall is no larger than eps
  const rising = optimizer(1)
  const accuracy = new fj.schedule.ReduceLROnPlateau(rising, { mode: 'max', patience: 0 })
  for (const value of [0.5, 0.6, 0.6]) accuracy.step(value)
  expect(rising.lr).toBeCloseTo(0.1, 12)
  expect(() => schedule.step()).toThrow(/a number was expected/)
})

it('LinearLR ends at endFactor, also where that is 0', () => {
  for (let totalIters = 1; totalIters < 60; totalIters++) {
    for (const startFactor of [0.1, 0.3, 0.7, 1]) {
      const sgd = optimizer(0.1)
      const schedule = new fj.schedule.LinearLR(sgd, { startFactor, endFactor: 0, totalIters })
      for (let step = 0; step < totalIters; step++) schedule.step()
      expect(sgd.lr).toBe(0)
    }
  }
})

it('refuses what is no optimizer and no state', () => {
  expect(() => new fj.schedule.StepLR(undefined as never, { stepSize: 2 })).toThrow(
    'StepLR: an optimizer was expected, got undefined',
  )
  const step = new fj.schedule.StepLR(optimizer(0.1), { stepSize: 2 })
  expect(() => step.loadStateDict({ steps: -1, baseLr: 1 })).toThrow(/StepLR.loadStateDict: steps -1; expected/)
  expect(() => step.loadStateDict({ steps: 1, baseLr: Number.NaN })).toThrow(/StepLR.loadStateDict: baseLr is NaN/)
  expect(step.steps).toBe(0)
  const plateau = new fj.schedule.ReduceLROnPlateau(optimizer(0.1), {})
  expect(() => plateau.loadStateDict({ best: 1 } as never)).toThrow(/ReduceLROnPlateau.loadStateDict: bad undefined/)
})

it('refuses options that make no sense', () => {
  expect(() => new fj.schedule.StepLR(optimizer(1), { stepSize: 0 })).toThrow(/stepSize 0; expected an integer from 1/)
  expect(() => new fj.schedule.OneCycleLR(optimizer(1), { maxLr: -1, totalSteps: 9 })).toThrow(/maxLr is -1/)
})
