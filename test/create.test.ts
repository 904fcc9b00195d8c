import { describe, expect, it } from 'vitest'
import * as fj from '../lib/index.js'

describe('tensor', () => {
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
