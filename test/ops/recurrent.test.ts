import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { weightNames, weightShapes } from '../../lib/ops/recurrent_api.js'
import { checkGolden, compareWithReference, expectClose, goldenCases, randomTensor } from '../helpers/compare.js'
import { DEVICES, TEST_DEVICE } from '../helpers/device.js'

const LAYERS = { rnn: fj.rnn, lstm: fj.lstm, gru: fj.gru }
type Name = keyof typeof LAYERS
const NAMES = Object.keys(LAYERS) as Name[]

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(NAMES.flatMap((name) => goldenCases(name)))('$name', (test) =>
    checkGolden(
      test,
      ({ x, ...weights }, attrs) => {
        const { batchFirst, ...options } = attrs as unknown as { batchFirst: boolean }
        expect(batchFirst).toBe(true) // as all layers here
        return LAYERS[test.op as Name](x!, weights, options) as unknown as Record<string, fj.Tensor>
      },
      device,
    ),
  )
})

interface Case {
  n: number
  t: number
  i: number
  h: number
  options?: fj.RNNOptions
}

/** x, h0, c0 and all weights of a case, weights scaled so that gates do not saturate. */
function operands(name: Name, { n, t, i, h, options = {} }: Case) {
  const { numLayers = 1, bidirectional = false } = options
  const cell = name === 'rnn' ? 'tanh' : name
  const directions = bidirectional ? [false, true] : [false]
  const entries = Array.from({ length: numLayers }, (_, layer) =>
    directions.flatMap((reverse) => {
      const shapes = weightShapes(cell, layer === 0 ? i : h * directions.length, h)
      return weightNames(layer, reverse).map((key, at) => [key, shapes[at]!] as const)
    }),
  ).flat()
  const states = numLayers * directions.length
  const lead = name === 'lstm' ? ['h', 'c'] : ['h']
  const inputs = [
    randomTensor([n, t, i], 1),
    ...lead.map((_, at) => randomTensor([states, n, h], 2 + at)),
    ...entries.map(([, shape], at) => fj.mul(randomTensor(shape, 10 + at), 1 / Math.sqrt(h + 3))),
  ]
  const layer = (...args: (fj.Tensor | undefined)[]) => {
    const [x, ...rest] = args as fj.Tensor[]
    const initial = Object.fromEntries(lead.map((key, at) => [key, rest[at]!]))
    const weights = Object.fromEntries(entries.map(([key], at) => [key, rest[lead.length + at]!]))
    return LAYERS[name](x!, weights, { ...options, initial })
  }
  return { inputs, layer }
}

const all = (output: fj.RecurrentOutput) => [output.y, output.h, ...(output.c ? [output.c] : [])]

const CASES: Case[] = [
  { n: 1, t: 1, i: 1, h: 1 },
  { n: 7, t: 5, i: 3, h: 33 },
  { n: 33, t: 3, i: 31, h: 7 },
  { n: 2, t: 9, i: 17, h: 127 },
  { n: 1, t: 4, i: 7, h: 300 },
  { n: 61, t: 2, i: 40, h: 64 },
  { n: 3, t: 4, i: 5, h: 16, options: { numLayers: 2, bidirectional: true } },
]

describe.each(NAMES)('%s', (name) => {
  it.each(CASES)('$n x $t x $i, $h units $options', async (test) => {
    const { inputs, layer } = operands(name, test)
    await compareWithReference((...args) => all(layer(...args)), inputs, { atol: 1e-5 })
  })

  it.each(['y', 'h', 'c'] as const)('has gradients through %s alone', async (key) => {
    if (key === 'c' && name !== 'lstm') return
    const { inputs, layer } = operands(name, { n: 5, t: 3, i: 4, h: 18 })
    await compareWithReference((...args) => layer(...args)[key]!, inputs, { atol: 1e-5 })
    // Without the gradient of x, as in the first layer of a network.
    const [x, ...rest] = inputs
    await compareWithReference((...args) => layer(x, ...args)[key]!, rest, { atol: 1e-5 })
  })

  // One row: hidden units are shared; 20: rows and, with five threads, units of some.
  it.each([1, 20])('gives the same for any number of threads, %i rows', async (n) => {
    const { inputs, layer } = operands(name, { n, t: 3, i: 60, h: 260 })
    const traced = (...args: fj.Tensor[]) => {
      const outputs = all(layer(...args))
      return [...outputs, ...fj.grad(fj.sum(fj.square(outputs[0]!)), args)]
    }
    const results: ArrayLike<number>[][] = []
    for (const threads of [1, 3, 5, 2]) {
      await fj.setThreads(threads)
      const compiled = fj.compile(traced, { device: TEST_DEVICE })
      results.push(await Promise.all((await compiled(...inputs)).map((result) => result.data())))
      compiled.dispose()
    }
    for (const many of results.slice(1)) {
      many.forEach((values, i) => {
        expectClose(values, results[0]![i]!, `result ${i}`, { rtol: 1e-5 })
      })
      expect(many.slice(0, 2)).toEqual(results[0]!.slice(0, 2))
    }
  })

  it('has correct gradients, of first and second order', async () => {
    const { inputs, layer } = operands(name, { n: 2, t: 3, i: 2, h: 2, options: { bidirectional: true } })
    const output = (...args: (fj.Tensor | undefined)[]) =>
      fj.concat(all(layer(...args)).map((v) => fj.reshape(v, [-1])))
    await fj.gradcheck(output, inputs)
    const penalty = (...args: fj.Tensor[]) => {
      const loss = fj.sum(fj.square(output(...args)))
      return fj.grad(loss, args).reduce((sum, g) => fj.add(sum, fj.sum(fj.square(g))), fj.zeros([]))
    }
    await fj.gradcheck(penalty, inputs, { tolerance: 1e-4 })
  })

  it('takes up where it stopped', async () => {
    const { inputs, layer } = operands(name, { n: 3, t: 6, i: 4, h: 5, options: { numLayers: 2 } })
    const [x, ...rest] = inputs
    const whole = layer(x, ...rest)
    const [front, back] = fj.split(x!, 2, { axis: 1 })
    const first = layer(front, ...rest)
    const states = name === 'lstm' ? [first.h, first.c!] : [first.h]
    const second = layer(back, ...states, ...rest.slice(states.length))
    const joined = await fj.concat([first.y, second.y], { axis: 1 }).data()
    const expected = await whole.y.data()
    joined.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6)
    })
  })
})

it('is one operation a layer and direction, and one for its gradient', async () => {
  const { inputs, layer } = operands('gru', { n: 2, t: 6, i: 3, h: 4, options: { numLayers: 2, bidirectional: true } })
  const step = fj.compile((...args: fj.Tensor[]) => fj.grad(fj.sum(layer(...args).y), args), { device: TEST_DEVICE })
  const operations = (await step.profile(...inputs)).map((row) => row.operation)
  expect(operations.filter((name) => name === 'recurrent').length).toBe(4)
  expect(operations.filter((name) => name === 'recurrentGrad').length).toBe(4)
  step.dispose()
})

it('rnn with relu', async () => {
  const options = { nonlinearity: 'relu', bidirectional: true } as const
  const { inputs, layer } = operands('rnn', { n: 9, t: 4, i: 6, h: 35, options })
  await compareWithReference((...args) => all(layer(...args)), inputs, { atol: 1e-5 })
})

it('absent biases are zeros, and absent states too', async () => {
  const { inputs } = operands('gru', { n: 2, t: 3, i: 4, h: 5 })
  const [x, , weightIh, weightHh] = inputs
  const plain = { weight_ih_l0: weightIh!, weight_hh_l0: weightHh! }
  const bare = await fj.gru(x!, plain).y.data()
  const zeros = { ...plain, bias_ih_l0: fj.zeros([15]), bias_hh_l0: fj.zeros([15]) }
  expect(await fj.gru(x!, zeros, { initial: { h: fj.zeros([1, 2, 5]) } }).y.data()).toEqual(bare)
})

it('drops elements between layers in training only', async () => {
  fj.setSeed(4)
  const { inputs, layer } = operands('lstm', { n: 4, t: 3, i: 4, h: 8, options: { numLayers: 2 } })
  const dropping = (training: boolean) =>
    operands('lstm', { n: 4, t: 3, i: 4, h: 8, options: { numLayers: 2, dropout: 0.5, training } }).layer(...inputs)
  const expected = await layer(...inputs).y.data()
  expect(await dropping(false).y.data()).toEqual(expected)
  expect(await dropping(true).y.data()).not.toEqual(expected)
})

it('names what is wrong', () => {
  const { inputs } = operands('lstm', { n: 2, t: 3, i: 4, h: 5 })
  const [x, , , weightIh, weightHh, biasIh, biasHh] = inputs as [fj.Tensor, ...fj.Tensor[]]
  const weights = { weight_ih_l0: weightIh!, weight_hh_l0: weightHh!, bias_ih_l0: biasIh!, bias_hh_l0: biasHh! }
  const fails = (make: () => unknown, code: string, message: string) =>
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }))
  const { weight_hh_l0: _, ...missing } = weights
  fails(() => fj.lstm(x, missing), 'ERR_ARGUMENT', 'lstm: weights of 1 layer in one direction: missing weight_hh_l0')
  fails(
    () => fj.lstm(x, { ...weights, weight_ih_l1: weightIh! }),
    'ERR_ARGUMENT',
    'lstm: weights of 1 layer in one direction: unexpected weight_ih_l1',
  )
  fails(
    () => fj.lstm(x, { ...weights, weight_ih_l0: fj.zeros([20, 3]) }),
    'ERR_SHAPE',
    'lstm: weight_ih_l0 has shape (20, 3); (20, 4) expected',
  )
  fails(() => fj.gru(x, weights), 'ERR_SHAPE', 'gru: weight_ih_l0 has shape (20, 4); (15, 4) expected')
  fails(
    () => fj.lstm(x, weights, { hiddenSize: 6 }),
    'ERR_SHAPE',
    'lstm: weight_ih_l0 has shape (20, 4); (24, 4) expected',
  )
  fails(
    () => fj.lstm(x, weights, { initial: { h: fj.zeros([2, 5]) } }),
    'ERR_SHAPE',
    'lstm: initial.h has shape (2, 5); (1, 2, 5) expected',
  )
  fails(
    () => fj.lstm(x, { ...weights, bias_ih_l0: fj.zeros([20], { dtype: 'int32' }) }),
    'ERR_DTYPE',
    'lstm: bias_ih_l0 must be float32, got int32',
  )
  fails(() => fj.lstm(x, null as never), 'ERR_ARGUMENT', 'weights must be an object of tensors by name, got null')
  fails(
    () => fj.lstm(x, { ...weights, weight_hh_l0: fj.zeros([20]) }),
    'ERR_ARGUMENT',
    'hiddenSize undefined; expected an integer from 1',
  )
  fails(() => fj.lstm(fj.cast(x, 'int32'), weights), 'ERR_DTYPE', 'lstm: x must be float32, got int32')
  fails(() => fj.lstm(fj.zeros([3, 4]), weights), 'ERR_SHAPE', 'x must be (N, T, features)')
  fails(() => fj.lstm(fj.zeros([2, 0, 4]), weights), 'ERR_SHAPE', 'no empty axis, got shape (2, 0, 4)')
  fails(() => fj.lstm(x, weights, { numLayers: 0 }), 'ERR_ARGUMENT', 'numLayers')
  fails(() => fj.lstm(x, weights, { dropout: 2 }), 'ERR_ARGUMENT', 'dropout 2; expected a number from 0 to 1')
  fails(
    () => fj.rnn(x, weights, { nonlinearity: 'sin' as never }),
    'ERR_ARGUMENT',
    "nonlinearity 'sin'; expected 'tanh' or 'relu'",
  )
  fails(() => fj.gru(x, {}, { initial: { c: fj.zeros([1, 2, 5]) } }), 'ERR_ARGUMENT', 'missing weight_ih_l0')
})
