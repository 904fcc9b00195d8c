/** Operands and options that no operation can take are refused where they are given, by name and with a stable code. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

const floats = (...shape: number[]) => fj.ones(shape)
const bytes = (...shape: number[]) => fj.ones(shape, { dtype: 'uint8' })
const whole = (...shape: number[]) => fj.zeros(shape, { dtype: 'int32' })
const bits = (...shape: number[]) => fj.ones(shape, { dtype: 'bool' })
const half = (...shape: number[]) => fj.ones(shape, { dtype: 'float16' })

/** What a program without types may hand over. */
const anything = fj as unknown as Record<string, (...args: unknown[]) => unknown>

const refusal = (run: () => unknown): { code: string; message: string } => {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(fj.ForjaError)
    const { code, message } = error as fj.ForjaError
    return { code, message: message.split('\n')[0]! }
  }
  throw new Error('nothing was refused')
}

describe.each([
  ['Array', [1, 2]],
  ['null', null],
  ['Object', { shape: [2] }],
])('%s in place of a tensor', (shown, x) => {
  const square = [floats(2, 2)]
  const images = [{ kernelSize: 2, outputSize: 2, size: 2 }]
  it.each<[string, unknown[]]>([
    ...['neg', 'relu', 'logicalNot', 'cast', 'dropout', 'clamp'].map((name): [string, unknown[]] => [name, []]),
    ...['add', 'maximum', 'equal', 'matmul', 'linear', 'mseLoss', 'nllLoss', 'crossEntropy', 'gather'].map(
      (name): [string, unknown[]] => [name, square],
    ),
    ...['sum', 'mean', 'variance', 'max', 'any', 'prod', 'logSumExp', 'softmax'].map((name): [string, unknown[]] => [
      name,
      [],
    ]),
    ...['argMax', 'cumSum', 'sort', 'topK', 'embedding', 'takeAlongAxis', 'putAlongAxis', 'scatterAdd', 'boxIou'].map(
      (name): [string, unknown[]] => [name, square],
    ),
    ...['flatten', 'squeeze', 'unsqueeze', 'transpose', 'slice', 'flip'].map((name): [string, unknown[]] => [name, []]),
    ...['reshape', 'broadcastTo', 'split', 'tile', 'pad'].map((name): [string, unknown[]] => [name, [[2]]]),
    ...['maxPool2d', 'adaptiveAvgPool2d', 'im2col', 'col2im', 'interpolate', 'conv2d'].map(
      (name): [string, unknown[]] => [name, images],
    ),
    ['roiPool', [floats(1, 5), { outputSize: 2 }]],
    ...['batchNorm', 'layerNorm', 'groupNorm', 'localResponseNorm'].map((name): [string, unknown[]] => [
      name,
      [{ groups: 1, size: 1 }],
    ]),
    ...['rnn', 'lstm', 'gru'].map((name): [string, unknown[]] => [name, [{}]]),
  ])('%s', (name, rest) => {
    const { code, message } = refusal(() => anything[name]!(x, ...rest))
    expect(code).toBe('ERR_ARGUMENT')
    expect(message).toContain(`must be a tensor, got ${shown}`)
  })
  it('inside lists, as the second operand and as an option', () => {
    for (const run of [
      () => anything.concat!([x]),
      () => anything.stack!([floats(2), x]),
      () => anything.matmul!(floats(2), x),
      () => anything.mul!(floats(2), x),
      () => anything.l1Loss!(floats(2), x),
      () => anything.layerNorm!(floats(2, 2), { gamma: [1, 1] }),
    ]) {
      expect(refusal(run).message).toMatch(/must be a tensor/)
    }
  })
})

it('dtypes that an operation has no kernel for', () => {
  for (const run of [
    () => fj.argMax(bits(3)),
    () => fj.cumSum(bytes(3)),
    () => fj.topK(bits(3), { k: 1 }),
    () => fj.sort(bytes(3)),
    () => fj.prod(bytes(3)),
    () => fj.sum(half(3)),
    () => fj.max(half(3)),
    () => fj.softmax(half(3)),
    () => fj.logSumExp(half(3)),
    () => fj.nllLoss(half(1, 3), whole(1)),
    () => fj.putAlongAxis(whole(3), bytes(3), { length: 4 }),
    () => fj.scatterAdd(bytes(3), whole(3), bytes(3)),
    () => fj.linear(floats(2, 3), floats(4, 3), bytes(4)),
    () => fj.pad(half(3), { pads: [[1, 1]] }),
  ]) {
    expect(refusal(run)).toMatchObject({
      code: 'ERR_DTYPE',
      message: expect.stringMatching(/got (bool|uint8|float16)/),
    })
  }
})

it.each([
  ['uint8', -2.5],
  ['uint8', 256],
  ['bool', Number.NaN],
  ['int32', 2 ** 24 + 1],
] as const)('a border of %s that holds %s', (dtype, value) => {
  const x = fj.ones([3], { dtype })
  expect(refusal(() => fj.pad(x, { pads: [[1, 0]], value }))).toMatchObject({
    code: 'ERR_DTYPE',
    message: `place: x is ${dtype}, which cannot be filled with ${value}`,
  })
})

it('numbers that attributes cannot hold', () => {
  const cases: [() => unknown, RegExp][] = [
    [() => fj.putAlongAxis(whole(3), floats(3), { length: 1.5 }), /length must hold 1 32-bit integer, got 1.5/],
    [() => fj.putAlongAxis(whole(3), floats(3), { length: 2 ** 31 }), /length must hold .* got 2147483648/],
    [() => fj.putAlongAxis(whole(3), floats(3), { length: -1 }), /length must not be negative, got -1/],
    [() => fj.slice(floats(5), { starts: [0.5], ends: [4] }), /start of axis 0 is 0.5, expected an integer/],
    [() => anything.layerNorm!(floats(2, 3), { eps: [] }), /eps must hold 1 number, got \[\]/],
    [
      () => anything.nllLoss!(floats(2, 3), whole(2), { ignoreIndex: null }),
      /ignoreIndex must hold 1 32-bit integer, got null/,
    ],
  ]
  for (const [run, message] of cases) {
    expect(refusal(run)).toMatchObject({ code: 'ERR_ARGUMENT', message: expect.stringMatching(message) })
  }
})

it('shapes and lists that are none, and more than can be', () => {
  const cases: [() => unknown, string, RegExp][] = [
    [() => fj.unsqueeze(fj.ones([1, 1, 1, 1, 1, 1, 1, 2])), 'ERR_SHAPE', /at most 8 dimensions, the result has 9/],
    [() => fj.broadcastTo(floats(1), [-3]), 'ERR_ARGUMENT', /non-negative integers/],
    [() => anything.reshape!(floats(2), 2), 'ERR_ARGUMENT', /reshape: shape must be an array, got 2/],
    [() => anything.sum!(floats(2), { axes: 'x' }), 'ERR_ARGUMENT', /axes must be a number or an array of them, got x/],
    [() => anything.tile!(floats(2), 2), 'ERR_ARGUMENT', /repeats must be an array, got 2/],
    [() => anything.transpose!(floats(2), 1), 'ERR_ARGUMENT', /axes must be an array, got 1/],
    [() => anything.slice!(floats(2), { starts: 1 }), 'ERR_ARGUMENT', /starts must have up to 1 entries .*got 1/],
    [() => anything.adaptiveAvgPool2d!(floats(1, 1, 2, 2), {}), 'ERR_ARGUMENT', /outputSize must be/],
    [() => fj.split(floats(6), 4), 'ERR_SHAPE', /cannot be cut into 4/],
    [() => fj.split(floats(6), 1.5), 'ERR_SHAPE', /cannot be cut into 1.5/],
    // These would take gigabytes before they fail.
    [() => fj.split(floats(6), 2 ** 31), 'ERR_SHAPE', /cannot be cut into 2147483648/],
    [() => fj.split(floats(0), 2 ** 31), 'ERR_SHAPE', /cannot be cut into 2147483648/],
    [
      () =>
        fj.rnn(floats(1, 1, 1), { weight_ih_l0: floats(1, 1), weight_hh_l0: floats(1, 1) }, { numLayers: 2 ** 31 - 1 }),
      'ERR_ARGUMENT',
      /missing weight_ih_l1/,
    ],
  ]
  for (const [run, code, message] of cases) {
    expect(refusal(run)).toMatchObject({ code, message: expect.stringMatching(message) })
  }
  expect(fj.split(floats(0), 3)).toHaveLength(3)
})

it('more than memory can hold', async () => {
  for (const run of [() => fj.arange(0, 1e12), () => fj.eye(200_000)]) {
    expect(refusal(run)).toMatchObject({ code: 'ERR_OUT_OF_MEMORY', message: expect.stringMatching(/no memory for/) })
  }
  const large = async (shape: number[]) => await fj.sum(fj.broadcastTo(floats(1), shape), { axes: 0 }).data()
  await expect(large([2 ** 20, 2 ** 30, 2])).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
  await expect(fj.zeros([2 ** 33]).data()).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  expect(refusal(() => fj.arange(0, 10, Number.NaN)).code).toBe('ERR_ARGUMENT')
})

it('null in place of an argument of a compiled function', async () => {
  const compiled = fj.compile((x: fj.Tensor) => x) as unknown as (x: null) => Promise<unknown>
  await expect(compiled(null)).rejects.toMatchObject({ code: 'ERR_ARGUMENT', message: /must be a tensor, got null/ })
})
