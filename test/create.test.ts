/** Tensors made of host data: every dtype holds the numbers that it was given, what is no number is refused. */
import { describe, expect, it } from 'vitest'
import * as fj from '../lib/index.js'

const code = (code: string) => expect.objectContaining({ code })

describe.each(['float16', 'bfloat16'] as const)('%s', (dtype) => {
  it('is made of numbers, and read as numbers', async () => {
    const x = fj.tensor(
      [
        [1.5, -2],
        [0.25, Number.POSITIVE_INFINITY],
      ],
      { dtype },
    )
    expect(await fj.cast(x, 'float32').array()).toEqual([
      [1.5, -2],
      [0.25, Number.POSITIVE_INFINITY],
    ])
    expect(await x.array()).toEqual([
      [1.5, -2],
      [0.25, Number.POSITIVE_INFINITY],
    ])
    expect(await fj.tensor(1.5, { dtype }).item()).toBe(1.5)
    expect(await fj.full([], 1.5, { dtype }).item()).toBe(1.5)
    expect(await fj.arange(3, undefined, 1, { dtype }).array()).toEqual([0, 1, 2])
    expect(await fj.eye(1, { dtype }).array()).toEqual([[1]])
  })
  it('is made of its bits', async () => {
    const bits = (await fj.tensor([1.5, -2], { dtype }).data()) as Uint16Array
    expect(bits).toBeInstanceOf(Uint16Array)
    expect(await fj.tensor(bits, { dtype }).array()).toEqual([1.5, -2])
  })
})

it('fills with a number of the dtype', async () => {
  const bool = fj.full([2], 3, { dtype: 'bool' })
  expect(await bool.data()).toEqual(Uint8Array.of(1, 1))
  for (const device of ['cpu', 'reference']) {
    const cast = fj.compile(
      () => [
        fj.cast(fj.full([], 3, { dtype: 'bool' }), 'int32'),
        fj.cast(fj.full([], 1.5, { dtype: 'int32' }), 'float32'),
        fj.cast(fj.full([], 300, { dtype: 'uint8' }), 'float32'),
      ],
      { device },
    )
    const read = (await cast()).map((t) => t.item())
    expect(await Promise.all(read), device).toEqual([1, 1, 44])
  }
})

it('refuses what it cannot count or name', () => {
  for (const step of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => fj.arange(0, 4, step)).toThrow(code('ERR_ARGUMENT'))
  }
  const x = fj.arange(4)
  for (const wrong of [{ starts: [0.5] }, { ends: [1.5] }, { starts: [Number.NaN] }]) {
    expect(() => fj.slice(x, wrong), JSON.stringify(wrong)).toThrow(code('ERR_ARGUMENT'))
  }
  expect(fj.slice(x, { starts: [Number.NEGATIVE_INFINITY], ends: [Number.POSITIVE_INFINITY] }).shape).toEqual([4])
  const index = fj.tensor([0], { dtype: 'int32' })
  expect(() => fj.oneHot(index, { depth: 2, dtype: 'foo' as 'int32' })).toThrow(code('ERR_DTYPE'))
})

describe('tensor', () => {
  const endless: unknown[] = []
  endless.push(endless)

  it('takes numbers, booleans, nested and typed arrays', async () => {
    expect(await fj.tensor(3).array()).toBe(3)
    expect(await fj.tensor([[1, 2], [3, 4]]).array()).toEqual([[1, 2], [3, 4]]) // biome-ignore format: a matrix
    expect(await fj.tensor([true, false] as never, { dtype: 'bool' }).array()).toEqual([1, 0])
    expect(fj.tensor(new Float64Array(2)).dtype).toBe('float32')
    expect(await fj.tensor(Int16Array.of(-3) as never, { dtype: 'int32' }).array()).toEqual([-3])
    expect(await fj.tensor([NaN]).array()).toEqual([NaN])
    expect(fj.tensor([[], []]).shape).toEqual([2, 0])
  })

  it.each<[string, unknown, string, RegExp]>([
    ['undefined', undefined, 'ERR_ARGUMENT', /a typed array was expected, got undefined/],
    ['a string', 'abc', 'ERR_ARGUMENT', /got 'abc'/],
    ['a tensor', fj.ones([2]), 'ERR_ARGUMENT', /got Tensor/],
    ['strings among numbers', [1, '2'], 'ERR_ARGUMENT', /nested arrays must hold numbers, got '2'/],
    ['a hole', [[1, null]], 'ERR_ARGUMENT', /got null/],
    [
      'rows of typed arrays',
      [Float32Array.of(1, 2), Float32Array.of(3, 4)],
      'ERR_ARGUMENT',
      /got Float32Array\n {2}hint {2}join/,
    ],
    ['an array that holds itself', endless, 'ERR_SHAPE', /nested more than 8 deep/],
    ['BigInts', new BigInt64Array(2), 'ERR_DTYPE', /elements of BigInt64Array are no numbers of a dtype/],
    ['a DataView', new DataView(new ArrayBuffer(8)), 'ERR_DTYPE', /elements of DataView are no numbers/],
    ['ragged rows', [[1, 2], [3]], 'ERR_SHAPE', /expected \(2, 2\) everywhere/],
    [
      'an array of no dtype',
      Int16Array.of(1),
      'ERR_DTYPE',
      /Int16Array is the array of no dtype\n {2}hint {2}name one/,
    ],
  ])('refuses %s', (_, values, code, message) => {
    expect(() => fj.tensor(values as never)).toThrowError(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })
})
