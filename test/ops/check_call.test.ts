import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

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
