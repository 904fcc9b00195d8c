import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose, randomTensor } from '../helpers/compare.js'

const error = (code: string, part: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(part) })

/** Two weights and the loss of x·body·head, so that each group's step changes the other's gradient. */
function network() {
  const body = fj.variable(randomTensor([5, 7], 1), { name: 'body' })
  const head = fj.variable(randomTensor([7, 3], 2), { name: 'head' })
  const bias = fj.variable(randomTensor([3], 3), { name: 'bias' })
  const loss = (x: fj.Tensor) => fj.mean(fj.square(fj.add(fj.matmul(fj.tanh(fj.matmul(x, body)), head), bias)))
  return { body, head, bias, loss }
}

const x = randomTensor([11, 5], 4)

/** Values of all three after `steps` steps. */
async function train(
  optimizers: (net: ReturnType<typeof network>) => fj.optim.Optimizer[],
  device: string,
  between: (optimizers: fj.optim.Optimizer[]) => void = () => {},
): Promise<number[]> {
  const net = network()
  const list = optimizers(net)
  let traces = 0
  const step = fj.compile(
    (input: fj.Tensor) => {
      traces++
      const loss = net.loss(input)
      const parameters = list.flatMap((optimizer) => optimizer.parameters)
      const gradients = fj.grad(loss, parameters)
      for (const optimizer of list) {
        const at = parameters.indexOf(optimizer.parameters[0]!)
        optimizer.step(gradients.slice(at, at + optimizer.parameters.length))
      }
      return loss
    },
    { device },
  )
  for (let i = 0; i < 4; i++) {
    await step(x)
    between(list)
  }
  expect(traces).toBe(1)
  step.dispose()
  const values = await Promise.all([net.body, net.head, net.bias].map((variable) => variable.data()))
  return values.flatMap((data) => [...data])
}

describe.each(['cpu', 'reference'])('on %s', (device) => {
  it.each([
    ['SGD', { momentum: 0.9 }],
    ['Adam', {}],
    ['AdamW', {}],
    ['RMSprop', { momentum: 0.5 }],
    ['Adagrad', {}],
    ['Adadelta', {}],
    ['Adamax', {}],
    ['NAdam', {}],
  ] as const)('%s in two groups equals two optimizers', async (kind, options) => {
    const Kind = fj.optim[kind]
    const grouped = await train(
      ({ body, head, bias }) => [
        new Kind(
          [
            { params: [body], lr: 0.002, weightDecay: 0.1 },
            { params: [head, bias], lr: 0.05 },
          ],
          { ...options, lr: 0.01, weightDecay: 0.3 },
        ),
      ],
      device,
    )
    const apart = await train(
      ({ body, head, bias }) => [
        new Kind([body], { ...options, lr: 0.002, weightDecay: 0.1 }),
        new Kind([head, bias], { ...options, lr: 0.05, weightDecay: 0.3 }),
      ],
      device,
    )
    expectClose(grouped, apart, 'parameters', { rtol: 1e-5 })
  })
})

it('sets the rate of a group, and of all in proportion, without compiling anew', async () => {
  const grouped = await train(
    ({ body, head, bias }) => [new fj.optim.SGD([{ params: [body], lr: 0.02 }, { params: [head, bias] }], { lr: 0.1 })],
    'cpu',
    ([optimizer]) => {
      optimizer!.groups[1]!.lr *= 0.8
      optimizer!.lr *= 0.5
    },
  )
  const apart = await train(
    ({ body, head, bias }) => [new fj.optim.SGD([body], { lr: 0.02 }), new fj.optim.SGD([head, bias], { lr: 0.1 })],
    'cpu',
    ([first, second]) => {
      first!.lr *= 0.5
      second!.lr *= 0.4
    },
  )
  expectClose(grouped, apart, 'parameters', { rtol: 1e-5 })
})

it('a schedule moves every group, also through 0', () => {
  const [a, b] = [fj.variable(fj.ones([1])), fj.variable(fj.ones([1]))]
  const optimizer = new fj.optim.SGD([{ params: [a], lr: 0.001 }, { params: [b] }], { lr: 0.1 })
  expect(optimizer.parameters).toEqual([a, b])
  const schedule = new fj.schedule.StepLR(optimizer, { stepSize: 1, gamma: 0.1 })
  schedule.step()
  expect(optimizer.groups.map((group) => group.lr)).toEqual([expect.closeTo(0.0001, 10), expect.closeTo(0.01, 10)])
  optimizer.lr = 0
  expect(optimizer.groups.map((group) => group.lr)).toEqual([0, 0])
  expect(() => {
    optimizer.groups[0]!.lr = 1
  }).toThrow(error('ERR_ARGUMENT', /SGD: group 0: lr 1 is no multiple of the optimizer's, which is 0/))
  optimizer.lr = 0.2
  expect(optimizer.groups[0]!.lr).toBeCloseTo(0.002, 10)
})

it('keeps the rates of groups in its state', async () => {
  const make = (lr: number) => {
    const [a, b] = [fj.variable(fj.ones([1])), fj.variable(fj.ones([1]))]
    return new fj.optim.SGD([{ params: [a], lr }, { params: [b] }], { lr: 0.1 })
  }
  const [from, to] = [make(0.01), make(0.05)]
  from.lr = 0.5
  const state = await from.stateDict()
  expect(Object.keys(state)).toEqual(['lr', 'scale.0', 'scale.1', 'step'])
  await to.loadStateDict(state)
  expect(to.groups.map((group) => group.lr)).toEqual(from.groups.map((group) => group.lr))
  const wrong = { ...state, lr: fj.tensor(0.7), 'scale.1': fj.tensor(-1) }
  await expect(to.loadStateDict(wrong)).rejects.toThrow(error('ERR_ARGUMENT', /scale\.1/))
  await expect(to.loadStateDict({ ...state, lr: fj.tensor(Number.NaN) })).rejects.toThrow(error('ERR_ARGUMENT', /lr/))
  expect(to.lr).toBe(0.5)
  const single = new fj.optim.SGD([fj.variable(fj.ones([1]))])
  await expect(single.loadStateDict(state)).rejects.toThrow(error('ERR_ARGUMENT', /unexpected \[scale\.0, scale\.1\]/))
})

it('refuses bad groups by name', () => {
  const p = fj.variable(fj.ones([2]), { name: 'p' })
  const { SGD } = fj.optim
  expect(() => new SGD([{ params: [] }])).toThrow(error('ERR_ARGUMENT', /SGD: group 0 needs params/))
  expect(() => new SGD([{ params: [p] }, p as never])).toThrow(error('ERR_ARGUMENT', /SGD: group 1 needs params/))
  expect(() => new SGD([{ params: [p], momentum: 0.9 } as never])).toThrow(
    error('ERR_ARGUMENT', /SGD: group 0: unknown option 'momentum'; expected params, lr, weightDecay/),
  )
  expect(() => new SGD([{ params: [p] }, { params: [p] }])).toThrow(
    error('ERR_ARGUMENT', /parameters 0 and 1 are the same variable 'p'/),
  )
  expect(() => new SGD([{ params: [p], lr: -1 }])).toThrow(error('ERR_ARGUMENT', /SGD: group 0: lr is -1/))
  expect(() => new SGD([{ params: [p], weightDecay: Number.NaN }])).toThrow(
    error('ERR_ARGUMENT', /SGD: group 0: weightDecay is NaN/),
  )
})
