import { describe, expect, it } from 'vitest'
import { concat, map, prefetch, split, subset } from '../../lib/data/combine.js'
import { ArrayDataset, type Batch, type BatchOptions, type Dataset, fromArrays } from '../../lib/data/dataset.js'

async function collect(dataset: Dataset, options?: BatchOptions): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const batch of dataset.batches(options)) batches.push(batch)
  return batches
}

/** Seven samples [2]; sample i holds 2 i, 2 i + 1 and class i mod 3. */
const set = fromArrays({
  x: Uint8Array.from({ length: 14 }, (_, i) => i),
  y: Uint8Array.from({ length: 7 }, (_, i) => i % 3),
  shape: [2],
  classNames: ['a', 'b', 'c'],
  featureNames: ['u', 'v'],
  normalization: { scale: [1, 10], offset: [0, 5] },
})

/** The same, but no arrays anyone could reach. */
const hidden: Dataset = {
  length: set.length,
  fields: set.fields,
  get: (index, options) => set.get(index, options),
  batches: (options) => set.batches(options),
}

describe('subset', () => {
  it.each([set, hidden])('gives the samples asked for, in order and twice', async (source) => {
    const part = subset(source, [5, 0, 5])
    expect(part.length).toBe(3)
    expect(part.fields).toEqual(set.fields)
    const [batch] = await collect(part)
    expect(batch).toMatchObject({ xShape: [3, 2], yShape: [3], indices: Int32Array.of(0, 1, 2) })
    expect(batch!.x).toEqual(Float32Array.of(10, 115, 0, 15, 10, 115))
    expect(batch!.y).toEqual(Int32Array.of(2, 0, 2))
    expect(part.get(1, { raw: true }).x).toEqual(Uint8Array.of(0, 1))
  })

  it('keeps arrays arrays, with their names', () => {
    const part = subset(set, [1])
    expect(part).toBeInstanceOf(ArrayDataset)
    expect([part.classNames, part.featureNames]).toEqual([
      ['a', 'b', 'c'],
      ['u', 'v'],
    ])
  })

  it.each([[7], [-1], [0.5]])('index %s is named', (index) => {
    expect(() => subset(set, [0, index])).toThrow(`subset: index ${index} at place 1; expected integers from 0 to 6`)
  })
})

describe('split', () => {
  it('shares the samples out, the same for the same seed', () => {
    const { train, test } = split(set, { test: 0.3, seed: 4 })
    expect([train.length, test.length]).toEqual([5, 2])
    const firsts = [...train.x, ...test.x].filter((_, i) => i % 2 === 0)
    expect(firsts.sort((a, b) => a - b)).toEqual([0, 2, 4, 6, 8, 10, 12])
    expect(split(set, { test: 0.3, seed: 4 }).test.x).toEqual(test.x)
    const others = [0, 1, 2, 3].map((seed) => split(set, { test: 0.3, seed }).test.x.join())
    expect(new Set(others).size).toBeGreaterThan(1)
  })

  it('takes the end where nothing is drawn', () => {
    const { train, test } = split(hidden, { test: 2 / 7, shuffle: false })
    expect([train.get(0).y, test.length, test.get(1, { raw: true }).x]).toEqual([0, 2, Uint8Array.of(12, 13)])
  })

  it.each([0, 1, -1, Number.NaN])('a share of %s is an error', (test) => {
    expect(() => split(set, { test })).toThrow(`split: test ${test}; expected a share between 0 and 1`)
  })

  it('more samples than memory for their order are an error', () => {
    const call = () => split({ ...hidden, length: 1e13 })
    expect(call).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_MEMORY',
        message: expect.stringContaining(`${1e13} elements of int32`),
      }),
    )
  })

  it('an empty part is an error', () => {
    expect(() => split(set, { test: 0.01 })).toThrow('split: test 0.01 of 7 samples leaves 7 to train and 0 to test')
  })
})

describe('concat', () => {
  it.each([[[set, set.slice(2, 3)]], [[hidden, set.slice(2, 3)]]])(
    'puts one after the other',
    async (parts: Dataset[]) => {
      const all = concat(parts)
      expect(all.length).toBe(8)
      expect(all.get(7, { raw: true })).toEqual({ x: Uint8Array.of(4, 5), y: 2 })
      expect((await collect(all, { batchSize: 5 }))[1]!.y).toEqual(Int32Array.of(2, 0, 2))
      expect(all instanceof ArrayDataset).toBe(parts.every((part) => part instanceof ArrayDataset))
    },
  )

  it('names the one that differs', () => {
    const narrow = fromArrays({ x: new Uint8Array(3), y: new Uint8Array(3), shape: [1], classes: 3 })
    expect(() => concat([set, narrow])).toThrow('concat: x of data set 1 is uint8 [1], that of the first uint8 [2]')
    const classes = fromArrays({ x: new Uint8Array(2), y: [1], shape: [2], classes: 2 }).normalized(
      set.fields[0].normalization,
    )
    expect(() => concat([set, classes])).toThrow(
      'concat: y of data set 1 is int32 [] of 2 classes, that of the first int32 [] of 3 classes',
    )
    expect(() => concat([set, set.normalized(undefined)])).toThrow(
      'concat: data set 1 is normalised otherwise than the first',
    )
    expect(() => concat([])).toThrow('concat: expected at least one data set')
  })
})

it.each([
  ['subset', () => subset(null as never, [0])],
  ['split', () => split({} as never)],
  ['map', () => map([1, 2] as never, (sample) => sample)],
  ['prefetch', () => prefetch(undefined as never)],
])('%s of what is no data set says so', (name, call) => {
  expect(call).toThrow(`${name}: the data set must be a data set with length and batches()`)
})

describe('map', () => {
  it('changes every sample, normalised ones', async () => {
    const sums = map(set, ({ x, y }, i) => ({ x: Float32Array.of(x[0]! + x[1]!), y: Number(y) + i }), { shape: [1] })
    expect(sums.fields).toMatchObject([
      { shape: [1], dtype: 'float32' },
      { shape: [], dtype: 'int32' },
    ])
    expect(sums.fields[0]!.normalization).toBeUndefined()
    const [first, second] = await collect(sums, { batchSize: 4 })
    expect(first!.x).toEqual(Float32Array.of(15, 37, 59, 81))
    expect(second!.y).toEqual(Int32Array.of(1 + 4, 2 + 5, 0 + 6))
    // Reading raw gives what the function made, which is what this set stores.
    expect((await collect(sums, { raw: true, batchSize: 4 }))[0]!.x).toEqual(first!.x)
  })

  it('says where a sample has another size', async () => {
    const ragged = map(set, ({ x, y }, i) => ({ x: i === 3 ? x.slice(1) : x, y }))
    await expect(collect(ragged)).rejects.toThrow(
      'dataset.batches: x of a sample has 1 numbers; expected 2, the shape [2]',
    )
  })
})

describe('prefetch', () => {
  it('asks for no more than there are, however far ahead', async () => {
    expect(await collect(prefetch(set, { ahead: Number.MAX_SAFE_INTEGER }), { batchSize: 3 })).toHaveLength(3)
  })

  it('makes batches before they are asked for, and gives the same', async () => {
    let made = 0
    const slow: Dataset = {
      ...hidden,
      batches: (options) => ({
        async *[Symbol.asyncIterator]() {
          for await (const batch of set.batches(options)) {
            made++
            yield batch
          }
        },
      }),
    }
    const ahead = prefetch(slow, { ahead: 2 })
    expect(await collect(ahead, { batchSize: 3 })).toEqual(await collect(set, { batchSize: 3 }))
    made = 0
    const iterator = ahead.batches({ batchSize: 1 })[Symbol.asyncIterator]()
    await iterator.next()
    await new Promise((done) => setTimeout(done, 10))
    expect(made).toBe(3)
    await iterator.return!()
    expect(made).toBe(3)
  })

  it('passes failures on in their place', async () => {
    const failing = map(set, ({ x, y }, i) => {
      if (i === 2) throw new RangeError('no 2')
      return { x, y }
    })
    const seen: number[] = []
    const read = async () => {
      for await (const { y } of prefetch(failing).batches({ batchSize: 1 })) seen.push(y[0]!)
    }
    await expect(read()).rejects.toThrow('no 2')
    expect(seen).toEqual([0, 1])
    expect(() => prefetch(set, { ahead: 0 })).toThrow('prefetch: ahead 0; expected an integer from 1')
  })
})

it('normalises table columns one by one', () => {
  expect(set.get(1).x).toEqual(Float32Array.of(2, 35))
  expect(set.normalized({ scale: [2], offset: [1] }).get(1).x).toEqual(Float32Array.of(5, 7))
  expect(() => set.normalized({ scale: [1, 2, 3], offset: [0, 0, 0] })).toThrow('expected 1 or 2 finite numbers')
})
