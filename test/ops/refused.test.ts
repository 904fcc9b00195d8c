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

const x = fj.ones([2, 3])
const image = fj.ones([1, 2, 5, 5])

const error = (code: string, message: RegExp) =>
  expect.objectContaining({ name: 'ForjaError', code, message: expect.stringMatching(message) })

type Call = (...args: unknown[]) => unknown

/** Every free function that is a method too. */
const operations = Object.entries(fj).filter(
  (entry): entry is [string, Call] => typeof entry[1] === 'function' && entry[0] in fj.Tensor.prototype,
)

const JUNK: readonly unknown[] = [undefined, null, 'a', [1, 2], {}, new Float32Array(3), () => 1, true]

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
    [
      () => anything.sum!(floats(2), { axes: 'x' }),
      'ERR_ARGUMENT',
      /axes must be a number or an array of them, got 'x'/,
    ],
    [() => anything.tile!(floats(2), 2), 'ERR_ARGUMENT', /repeats must be an array, got 2/],
    [() => anything.transpose!(floats(2), 1), 'ERR_ARGUMENT', /axes must be an array, got 1/],
    [() => anything.slice!(floats(2), { starts: 1 }), 'ERR_ARGUMENT', /starts must have up to 1 entries .*got 1/],
    [
      () => anything.adaptiveAvgPool2d!(floats(1, 1, 2, 2), {}),
      'ERR_ARGUMENT',
      /outputSize undefined; expected an integer from 1/,
    ],
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
  const large = async (shape: number[]) => await fj.sum(fj.broadcastTo(fj.tensor([1]), shape), { axes: 0 }).data()
  await expect(large([2 ** 20, 2 ** 30, 2])).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
  await expect(fj.zeros([2 ** 33]).data()).rejects.toMatchObject({
    code: 'ERR_SHAPE',
    message: 'dimensions must be below 2147483648, got (8589934592)',
  })
  expect(refusal(() => fj.arange(0, 10, Number.NaN)).code).toBe('ERR_ARGUMENT')
})

it('null in place of an argument of a compiled function', async () => {
  const compiled = fj.compile((x: fj.Tensor) => x) as unknown as (x: null) => Promise<unknown>
  await expect(compiled(null)).rejects.toMatchObject({ code: 'ERR_ARGUMENT', message: /must be a tensor, got null/ })
})

it.each(operations)('%s throws nothing but ForjaError, whatever it is given', async (_, call) => {
  for (const first of [x, image, ...JUNK]) {
    for (const rest of [[], ...[...JUNK, x, 3, -1, Number.NaN].map((second) => [second])]) {
      try {
        await call(first, ...rest)
      } catch (e) {
        expect(e).toMatchObject({ name: 'ForjaError', code: expect.not.stringMatching('ERR_INTERNAL') })
      }
    }
  }
})

describe('an operand that is no tensor is named', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['undefined', () => fj.relu(undefined as never), /relu: x must be a tensor, got undefined/],
    ['null', () => fj.add(x, null as never), /add: b must be a tensor, got null/],
    ['a string', () => fj.where(x.greater(0), 'a' as never, x), /where: a must be a tensor, got 'a'/],
    [
      'an array',
      () => fj.matmul(x, [[1], [2], [3]] as never),
      /matmul: b must be a tensor, got Array\n {2}hint {2}make one/,
    ],
    ['a typed array', () => fj.mseLoss(x, new Float32Array(6) as never), /target must be a tensor, got Float32Array/],
    ['one of a list', () => fj.concat([x, 3 as never]), /concat: x\[1\] must be a tensor, got 3/],
    ['the input of a gradient', () => fj.grad(fj.sum(x), x as never), /grad: inputs must be an array, got Tensor/],
    ['a value to assign', () => fj.assign(fj.variable(x), 3 as never), /assign: value must be a tensor, got 3/],
    ['a shape', () => x.reshape(6 as never), /reshape: shape must be an array, got 6/],
    ['axes', () => x.transpose(1 as never), /transpose: axes must be an array, got 1/],
  ])('%s', (_, call, message) => {
    expect(call).toThrowError(error('ERR_ARGUMENT', message))
  })

  it('with the layer that runs', () => {
    const net = new fj.nn.Sequential(new fj.nn.Linear(2, 3))
    expect(() => net.forward([[1, 2]] as never)).toThrowError(
      error('ERR_ARGUMENT', /linear \(0\): x must be a tensor, got Array\n {2}hint {2}make one with tensor\(\)/),
    )
  })
})

describe('options', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['sum', () => x.sum(0 as never), /sum: options \{ axes, keepDims \} were expected, got 0/],
    ['mean', () => fj.mean(x, [1] as never), /mean: options \{ axes, keepDims \} were expected, got Array/],
    ['softmax', () => fj.softmax(x, 1 as never), /softmax: options \{ axis \} were expected, got 1/],
    ['concat', () => fj.concat([x, x], 1 as never), /concat: options \{ axis \} were expected/],
    ['dropout', () => fj.dropout(x, 0.1 as never), /dropout: options \{ p, training \} were expected, got 0.1/],
    ['leakyRelu', () => x.leakyRelu(0.2 as never), /leakyRelu: options \{ alpha \} were expected, got 0.2/],
    ['LeakyReLU', () => new fj.nn.LeakyReLU(0.2 as never), /LeakyReLU: options \{ alpha \} were expected, got 0.2/],
    [
      'maxPool2d',
      () => fj.maxPool2d(image, 2 as never),
      /maxPool2d: options \{ kernelSize, .* \} were expected, got 2/,
    ],
  ])('of %s are no bare numbers', (_, call, message) => {
    expect(call).toThrowError(error('ERR_ARGUMENT', message))
  })

  it.each<[string, () => unknown, RegExp]>([
    ['sum', () => x.sum({ axis: 0 } as never), /sum: unknown option 'axis'; expected axes, keepDims/],
    ['argMax', () => x.argMax({ axes: 0 } as never), /argMax: unknown option 'axes'; expected axis, keepDims/],
    ['variance', () => x.variance({ ddof: 1 } as never), /unknown option 'ddof'; expected axes, keepDims, correction/],
    [
      'conv2d',
      () => fj.conv2d(image, fj.ones([1, 2, 3, 3]), null, { strides: 2 } as never),
      /unknown option 'strides'/,
    ],
    ['mseLoss', () => fj.mseLoss(x, x, { reduce: 'sum' } as never), /unknown option 'reduce'; expected reduction/],
  ])('of %s have known names', (_, call, message) => {
    expect(call).toThrowError(error('ERR_ARGUMENT', message))
  })
})

it('float labels of a cross entropy are told what labels are', () => {
  expect(() => fj.crossEntropy(x, fj.tensor([0, 1]))).toThrowError(
    error('ERR_SHAPE', /float32 targets are probabilities, of .* \(2, 3\), got \(2,\)\n {2}hint {2}labels are int32/),
  )
  expect(() => fj.crossEntropy(x, fj.ones([3, 3]))).toThrowError(error('ERR_SHAPE', /they must be equal/))
})

it('a compiled function says how many tensors it takes, and which options', async () => {
  const product = fj.compile((a: fj.Tensor, b: fj.Tensor) => fj.mul(a, b))
  await expect((product as unknown as (a: fj.Tensor) => Promise<fj.Tensor>)(x)).rejects.toThrowError(
    error('ERR_ARGUMENT', /the compiled function takes 2 tensors, got 1/),
  )
  expect(() => fj.compile(() => x, { devise: 'cpu' } as never)).toThrowError(
    error('ERR_ARGUMENT', /compile: unknown option 'devise'; expected device, algorithms, precision/),
  )
})
