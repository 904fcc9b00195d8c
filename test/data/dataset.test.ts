import { describe, expect, it } from 'vitest'
import { type Batch, type BatchOptions, type Dataset, fromArrays, standardize } from '../../lib/data/dataset.js'
import { permutation, setSeed } from '../../lib/random.js'

async function collect(dataset: Dataset, options?: BatchOptions): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const batch of dataset.batches(options)) batches.push(batch)
  return batches
}

/** Ten samples [2, 1, 2]; sample i holds 4 i .. 4 i + 3. */
const images = fromArrays({
  x: Uint8Array.from({ length: 40 }, (_, i) => i),
  y: Uint8Array.from({ length: 10 }, (_, i) => i % 3),
  shape: [2, 1, 2],
  normalization: { scale: [0.5, 2], offset: [1, -1] },
})

describe('fromArrays', () => {
  it('keeps the stored array and says what it holds', () => {
    const x = new Uint8Array(8)
    const set = fromArrays({ x, y: [1, 0], shape: [4], classes: 2 })
    expect(set.x).toBe(x)
    expect(set.y).toEqual(Int32Array.of(1, 0))
    expect(set.length).toBe(2)
    expect(set.classes).toBe(2)
    expect(set.fields).toMatchObject([
      { name: 'x', shape: [4], dtype: 'uint8' },
      { name: 'y', shape: [], dtype: 'int32', classes: 2 },
    ])
  })

  it('takes rows of numbers, and float targets', () => {
    const set = fromArrays({ x: [[0, 0], [0, 1], [1, 0]], y: [[0], [1], [1]] }) // biome-ignore format: a table
    expect(set.fields[0].shape).toEqual([2])
    expect(set.fields[1]).toMatchObject({ shape: [1], dtype: 'float32' })
    expect(set.get(1)).toEqual({ x: Float32Array.of(0, 1), y: Float32Array.of(1) })
    expect(fromArrays({ x: [1, 2], y: [0.5, 1.5] }).get(1)).toEqual({ x: Float32Array.of(2), y: 1.5 })
  })

  it('infers the classes of integer labels', () => {
    expect(images.classes).toBe(3)
  })

  it.each<[string, () => unknown, string, RegExp]>([
    [
      'a label that is too large',
      () => fromArrays({ x: [1, 2, 3], y: [0, 1, 7], classes: 3 }),
      'ERR_ARGUMENT',
      /label 7 of sample 2; expected an integer from 0 to 2 \(3 classes\)/,
    ],
    [
      'a negative label',
      () => fromArrays({ x: [1, 2], y: Int32Array.of(0, -1) }),
      'ERR_ARGUMENT',
      /label -1 of sample 1/,
    ],
    ['half a label', () => fromArrays({ x: [1, 2], y: [0, 0.5], classes: 2 }), 'ERR_ARGUMENT', /label 0.5 of sample 1/],
    ['no classes', () => fromArrays({ x: [1], y: [0], classes: 0 }), 'ERR_ARGUMENT', /classes 0/],
    [
      'as many names',
      () => fromArrays({ x: [1], y: [0], classes: 2, classNames: ['a'] }),
      'ERR_ARGUMENT',
      /1 classNames for 2 classes/,
    ],
    ['unequal counts', () => fromArrays({ x: [1, 2, 3], y: [1, 2] }), 'ERR_SHAPE', /3 samples.*= 2 of shape/],
    [
      'a shape with the batch',
      () => fromArrays({ x: new Uint8Array(8), y: [0, 1], shape: [2, 4], classes: 2 }),
      'ERR_SHAPE',
      /without the batch: \[4\]/,
    ],
    ['a size of 0', () => fromArrays({ x: [1], y: [1], shape: [0] }), 'ERR_SHAPE', /holds 0/],
    ['ragged rows', () => fromArrays({ x: [[1, 2], [3]], y: [1, 2] }), 'ERR_SHAPE', /row 1 of x has 1 numbers; row 0/],
    [
      'rows of typed arrays',
      () => fromArrays({ x: [Float32Array.of(1, 2)] as never, y: [1] }),
      'ERR_ARGUMENT',
      /x: .* got Float32Array among them\n {2}hint {2}join/,
    ],
    [
      'rows of rows',
      () => fromArrays({ x: [[[1, 2]]] as never, y: [1] }),
      'ERR_ARGUMENT',
      /x: expected .* numbers, got Array among them/,
    ],
    ['a missing number', () => fromArrays({ x: [1, 2], y: [1, undefined as never] }), 'ERR_ARGUMENT', /got undefined/],
    ['a string', () => fromArrays({ x: 'abc' as never, y: [1] }), 'ERR_ARGUMENT', /x: expected a typed array/],
    [
      'a normalisation of other channels',
      () => fromArrays({ x: [1, 2], y: [1], shape: [2, 1], normalization: { scale: [1, 1, 1], offset: [0, 0, 0] } }),
      'ERR_ARGUMENT',
      /expected 1 or 2 finite numbers/,
    ],
  ])('refuses %s', (_, call, code, message) => {
    expect(call).toThrowError(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })
})

describe('get', () => {
  it('normalises by channel, or gives what is stored', () => {
    expect(images.get(1)).toEqual({ x: Float32Array.of(3, 3.5, 11, 13), y: 1 })
    expect(images.get(1, { raw: true })).toEqual({ x: Uint8Array.of(4, 5, 6, 7), y: 1 })
  })

  it.each([-1, 10, 1.5])('refuses index %s', (index) => {
    expect(() => images.get(index)).toThrowError(/expected an integer from 0 to 9/)
  })
})

describe('batches', () => {
  it('covers the set in order, the last batch smaller', async () => {
    const batches = await collect(images, { batchSize: 4, raw: true })
    expect(batches.map((batch) => [...batch.indices])).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ])
    expect(batches[2]).toMatchObject({ xShape: [2, 2, 1, 2], yShape: [2], length: 2 })
    expect(batches[2]!.x).toEqual(Uint8Array.of(32, 33, 34, 35, 36, 37, 38, 39))
    expect(batches[2]!.y).toEqual(Int32Array.of(2, 0))
  })

  it('drops a last batch that is smaller', async () => {
    const batches = await collect(images, { batchSize: 4, dropLast: true })
    expect(batches.map((batch) => batch.length)).toEqual([4, 4])
    expect(await collect(images, { batchSize: 11, dropLast: true })).toEqual([])
  })

  it('shuffles by seed and epoch', async () => {
    const order = async (options: BatchOptions) =>
      (await collect(images, { batchSize: 3, ...options })).flatMap((batch) => [...batch.indices])
    const first = await order({ shuffle: true, seed: 5 })
    expect(first).toEqual([...permutation(10, 5, 0)])
    expect(await order({ shuffle: true, seed: 5 })).toEqual(first)
    expect(await order({ shuffle: true, seed: 5, epoch: 1 })).toEqual([...permutation(10, 5, 1)])
    setSeed(5)
    expect(await order({ shuffle: true })).toEqual(first)
    setSeed(0)
  })

  it('pairs each sample with its own label', async () => {
    for (const batch of await collect(images, { batchSize: 4, shuffle: true, seed: 1, raw: true })) {
      batch.indices.forEach((index, i) => {
        expect(batch.x[4 * i]).toBe(4 * index)
        expect(batch.y[i]).toBe(index % 3)
      })
    }
  })

  it('can be walked again', async () => {
    const batches = images.batches({ batchSize: 5 })
    for (let round = 0; round < 2; round++) {
      let seen = 0
      for await (const batch of batches) seen += batch.length
      expect(seen).toBe(10)
    }
  })

  it.each([
    [{ batchSize: 0 }, /batchSize 0/],
    [{ batchSize: 1.5 }, /batchSize 1.5/],
    [{ shuffle: true, seed: -1 }, /seed is -1/],
    [{ epoch: -1 }, /epoch -1/],
  ])('refuses %o where it is called', (options, message) => {
    expect(() => images.batches(options)).toThrowError(message)
  })
})

describe('slice', () => {
  it('shares the memory', () => {
    const part = images.slice(3, 5)
    expect(part.length).toBe(2)
    expect(part.x.buffer).toBe(images.x.buffer)
    expect(part.get(0, { raw: true })).toEqual(images.get(3, { raw: true }))
    expect(part.classes).toBe(3)
    expect(() => images.slice(5, 11)).toThrowError(/\[5, 11\)/)
  })
})

it.each([
  [[0, 10], 'index 10 at place 1; expected integers from 0 to 9'],
  [[-1], 'index -1 at place 0'],
  [[0.5], 'index 0.5 at place 0'],
  [undefined, 'indices must be an array of integers, got undefined'],
])('samples %j that are not there are no zeros', (indices, message) => {
  expect(() => images.take(indices as never)).toThrow(`dataset.take: ${message}`)
  expect(() => images.gather(indices as never)).toThrow(`dataset.gather: ${message}`)
})

it('names that are no list are refused', () => {
  const call = () => fromArrays({ x: [1], y: [0], shape: [1], classNames: 'a' as never })
  expect(call).toThrow("fromArrays: classNames must be an array, got 'a'")
})

describe('standardize', () => {
  it('gives every channel mean 0 and deviation 1', () => {
    const x = Float32Array.of(1, 3, 10, 10, 5, 7, 10, 10)
    const { scale, offset } = standardize(x, [2, 2])
    const channel = [1, 3, 5, 7].map((value) => value * scale[0]! + offset[0]!)
    expect(channel.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 12)
    expect(channel.reduce((sum, value) => sum + value * value, 0) / 4).toBeCloseTo(1, 12)
    // A channel without variation is only shifted.
    expect([scale[1], offset[1]]).toEqual([1, -10])
  })
  it.each([
    [0.1, 1000],
    [0.3, 20640],
    [3.3, 1000],
  ])('sees no variation in %f repeated %i times', (value, count) => {
    const { scale, offset } = standardize(new Float64Array(count).fill(value), [1])
    expect(scale).toEqual([1])
    expect(offset[0]).toBeCloseTo(-value, 10)
  })
  it.each<[string, unknown, number[], RegExp]>([
    ['no array', undefined, [2], /standardize: x must be a typed array, got undefined/],
    ['samples cut short', new Float32Array(5), [2], /x has 5 elements; expected whole samples of shape \(2,\)/],
    ['more channels than memory', new Float32Array(4), [2 ** 53], /standardize: shape must be an array .* got \[9007/],
    ['samples without elements', new Float32Array(4), [0], /expected whole samples of shape \(0,\)/],
  ])('refuses %s', (_, x, shape, message) => {
    expect(() => standardize(x as Float32Array, shape)).toThrow(message)
  })
  it('sees small variation around a large mean', () => {
    const { scale } = standardize(Float64Array.of(1e8, 1e8 + 1, 1e8 + 2), [1])
    expect(scale[0]).toBeCloseTo(Math.sqrt(1.5), 10)
  })
})
