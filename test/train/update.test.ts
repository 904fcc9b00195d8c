import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose } from '../helpers/compare.js'
import { everything, network, plainNetwork, waves } from '../helpers/training.js'

const QUIET = { verbose: 0, seed: 5 } as const

async function weights(model: fj.nn.Module): Promise<number[]> {
  return Object.values(await everything(model)).flatMap((data) => [...Array.from(data)])
}

const MAKERS: Record<string, (p: fj.Variable[]) => fj.optim.Optimizer> = {
  SGD: (p) => new fj.optim.SGD(p, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  Adam: (p) => new fj.optim.Adam(p, { lr: 0.01 }),
  RMSprop: (p) => new fj.optim.RMSprop(p, { lr: 0.01 }),
}

describe.each(['cpu', 'reference'])('gradients on %s', (device) => {
  it.each(Object.keys(MAKERS))('of k batches added up equal those of one k times as large, with %s', async (name) => {
    const run = async (batchSize: number, accumulate: number) => {
      const model = plainNetwork()
      const optimizer = MAKERS[name]!(model.parameters())
      const history = await fj.fit(model, waves, { ...QUIET, optimizer, device, epochs: 3, batchSize, accumulate })
      expect((await (await optimizer.stateDict()).step!.data())[0]).toBe(3 * Math.ceil(40 / (batchSize * accumulate)))
      return [...history.loss, ...(await weights(model))]
    }
    // 40 samples in batches of 3: groups of 4 batches, then one of 2, the last batch with a single sample.
    expectClose(await run(3, 4), await run(12, 1), 'losses and weights', { rtol: 2e-5, atol: 2e-6 })
  })

  it('are clipped together, and after they were added up', async () => {
    const run = async (options: object) => {
      const model = plainNetwork()
      const before = await weights(model)
      const optimizer = new fj.optim.SGD(model.parameters(), { lr: 1 })
      const all = { ...QUIET, optimizer, device, shuffle: false }
      await fj.fit(model, waves, { ...all, batchSize: 40, ...options })
      return (await weights(model)).map((w, i) => before[i]! - w)
    }
    const norm = (gradient: number[]) => Math.hypot(...gradient)
    const whole = await run({})
    const max = norm(whole) / 3
    const clipped = await run({ clipGradNorm: max })
    expectClose(
      clipped,
      whole.map((g) => g / 3),
      'clipped gradient',
      { rtol: 1e-4, atol: 1e-6 },
    )
    expectClose(await run({ clipGradNorm: 100 * max }), whole, 'small gradient', { rtol: 1e-4, atol: 1e-6 })
    const added = await run({ clipGradNorm: max, batchSize: 7, accumulate: 6 })
    expectClose(added, clipped, 'clipped sum', { rtol: 1e-4, atol: 1e-6 })
  })
})

it('a schedule that is stepped every batch is stepped every update', async () => {
  const model = plainNetwork()
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 1e-3 })
  const schedule = new fj.schedule.ExponentialLR(optimizer, { gamma: 0.5 })
  const options = { ...QUIET, optimizer, schedule, scheduleEvery: 'batch', batchSize: 4, accumulate: 4 } as const
  await fj.fit(model, waves, { ...options, epochs: 2 }) // 10 batches: 3 updates an epoch
  expect(optimizer.lr).toBeCloseTo(1e-3 / 2 ** 6, 12)
})

it('fastDevRun: one short epoch, validation as short, callbacks as ever', async () => {
  for (const [fastDevRun, count] of [
    [true, 1],
    [3, 3],
  ] as const) {
    const model = network()
    const calls: string[] = []
    const history = await fj.fit(model, waves, {
      ...QUIET,
      optimizer: new fj.optim.SGD(model.parameters()),
      epochs: 50,
      batchSize: 4,
      validation: waves,
      metrics: ['accuracy'],
      fastDevRun,
      callbacks: [
        {
          onBatchEnd: ({ step, steps }) => void calls.push(`${step}/${steps}`),
          onEpochEnd: () => void calls.push('end'),
        },
      ],
    })
    expect(calls).toEqual([...Array.from({ length: count }, (_, i) => `${i + 1}/${count}`), 'end'])
    expect(history.valAccuracy).toHaveLength(1)
  }
})

it('overfitBatches: the same few batches in every epoch', async () => {
  const model = plainNetwork()
  const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.05 })
  const options = { ...QUIET, optimizer, epochs: 60, batchSize: 4, metrics: ['accuracy'] as const }
  const history = await fj.fit(model, waves, { ...options, overfitBatches: 2 })
  expect(history.accuracy.at(-1)).toBe(1)
  const twin = plainNetwork()
  const again = new fj.optim.Adam(twin.parameters(), { lr: 0.05 })
  const few = await fj.fit(twin, waves.slice(0, 8), { ...options, optimizer: again, shuffle: false })
  expect(few.loss).toEqual(history.loss)
  expect(await everything(twin)).toEqual(await everything(model))
})

it('refuses numbers that make no sense', async () => {
  const model = plainNetwork()
  const optimizer = new fj.optim.SGD(model.parameters())
  const bad = (options: object) => expect(fj.fit(model, waves, { ...QUIET, optimizer, ...options })).rejects
  await bad({ accumulate: 0 }).toThrow('fit: accumulate 0; expected an integer from 1')
  await bad({ fastDevRun: 0 }).toThrow('fit: fastDevRun 0; expected an integer from 1')
  await bad({ overfitBatches: 1.5 }).toThrow('fit: overfitBatches 1.5; expected an integer from 1')
  await bad({ clipGradNorm: -1 }).toThrow('fit: clipGradNorm is -1; expected a finite number from 0')
})
