import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose, randomTensor } from '../helpers/compare.js'

const numbers = async (t: fj.Tensor) => [...(await t.data())]

describe("the lecture's programs", () => {
  it('a = 15, b = 5: a·b / (a + b)', async () => {
    const a = fj.placeholder([], { name: 'a' })
    const b = fj.placeholder([], { name: 'b' })
    const c = fj.mul(a, b)
    const d = fj.add(a, b)
    const e = fj.div(c, d)
    using session = new fj.Session()
    const feed = new Map([
      [a, 15],
      [b, 5],
    ])
    const result = await session.run({ product: c, sum: d, quotient: e }, { feed })
    expect(await result.product.item()).toBe(75)
    expect(await result.sum.item()).toBe(20)
    expect(await result.quotient.item()).toBe(3.75)
    expect(await (await session.run(e, { feed })).item()).toBe(3.75)
  })

  it.each(['cpu', 'reference'])('softmax regression by feed, on %s', async (device) => {
    // x = tf.placeholder(tf.float32, [None, 4]) ..
    const x = fj.placeholder([null, 4], { name: 'x' })
    const labels = fj.placeholder([null, 3], { name: 'y_' })
    const w = fj.variable(fj.zeros([4, 3]), { name: 'W' })
    const b = fj.variable(fj.zeros([3]), { name: 'b' })
    const y = fj.softmax(fj.add(fj.matmul(x, w), b))
    const crossEntropy = fj.mean(fj.neg(fj.sum(fj.mul(labels, fj.log(y)), { axes: 1 })))
    const train = new fj.optim.SGD([w, b], { lr: 0.5 }).minimize(crossEntropy)
    const correct = fj.equal(fj.argMax(y, { axis: 1 }), fj.argMax(labels, { axis: 1 }))
    const accuracy = fj.mean(fj.cast(correct, 'float32'))

    using session = new fj.Session({ device })
    await session.run(fj.globalVariablesInitializer())
    const images = randomTensor([90, 4], 1)
    const classes = fj.argMax(fj.slice(images, { ends: [90, 3] }), { axis: 1 })
    const targets = fj.oneHot(classes, { depth: 3 })
    const rows = (t: fj.Tensor, from: number, to: number) => fj.slice(t, { starts: [from], ends: [to] })
    for (let step = 0; step < 40; step++) {
      const from = (step % 3) * 30
      const batch = new Map([
        [x, rows(images, from, from + 30)],
        [labels, rows(targets, from, from + 30)],
      ])
      expect(await session.run(train, { feed: batch })).toBeUndefined()
    }
    const all = new Map([
      [x, images],
      [labels, targets],
    ])
    expect(await (await session.run(accuracy, { feed: all })).item()).toBeGreaterThan(0.9)
    await session.run(fj.globalVariablesInitializer())
    expect(await (await session.run(crossEntropy, { feed: all })).item()).toBeCloseTo(Math.log(3), 5)
    expect(new Set(await numbers(w))).toEqual(new Set([0]))
  })
})

describe('the unknown size', () => {
  /** What a session gives is what a function compiled for that size gives. */
  async function agrees(fn: (x: fj.Tensor) => fj.Tensor, rest: number[], sizes = [1, 2, 7]) {
    const x = fj.placeholder([null, ...rest], { name: 'x' })
    const y = fn(x)
    const loss = fj.sum(fj.mul(y, y))
    const [dx] = fj.grad(loss, [x])
    using session = new fj.Session({ device: 'cpu' })
    for (const size of sizes) {
      const value = randomTensor([size, ...rest], size)
      const got = await session.run([y, dx!], { feed: new Map([[x, value]]) })
      const compiled = fj.compile(
        (v: fj.Tensor) => {
          const z = fn(v)
          return [z, ...fj.grad(fj.sum(fj.mul(z, z)), [v])]
        },
        { device: 'cpu' },
      )
      const expected = await compiled(value)
      for (const i of [0, 1]) {
        expect(got[i]!.shape).toEqual(expected[i]!.shape)
        expectClose(await got[i]!.data(), await expected[i]!.data(), `size ${size}, output ${i}`)
      }
      compiled.dispose()
    }
  }
  const weight = randomTensor([6, 3, 3, 3], 4)
  const functions: Record<string, [(x: fj.Tensor) => fj.Tensor, number[]]> = {
    mean: [(x) => fj.mean(x), [4]],
    variance: [(x) => fj.variance(x, { axes: 0, correction: 0 }), [4]],
    flatten: [(x) => fj.flatten(x), [2, 3]],
    'reshape to -1': [(x) => fj.reshape(x, [-1, 6]), [2, 3, 2]],
    'reshape by its own shape': [(x) => fj.reshape(x, [x.shape[0]!, 6]), [2, 3]],
    transpose: [(x) => fj.transpose(x), [5]],
    'rows from the second': [(x) => fj.slice(x, { starts: [0, 1] }), [5]],
    'all but the first': [(x) => fj.slice(fj.concat([x, x]), { starts: [1] }), [5]],
    'last row': [(x) => fj.slice(x, { starts: [-1] }), [5]],
    flip: [(x) => fj.flip(x, { axes: 0 }), [3]],
    broadcast: [(x) => fj.add(x, fj.sum(x, { axes: 0 })), [3]],
    pad: [
      (x) =>
        fj.pad(x, {
          pads: [
            [1, 2],
            [0, 1],
          ],
          mode: 'replicate',
        }),
      [3],
    ],
    softmax: [(x) => fj.softmax(x), [5]],
    topK: [(x) => fj.topK(x, { k: 2 }).values, [5]],
    gather: [(x) => fj.gather(x, fj.tensor([0, 2], { dtype: 'int32' }), { axis: 1 }), [5]],
    conv2d: [(x) => fj.conv2d(x, weight, null, { padding: 1, stride: 2 }), [3, 9, 8]],
    maxPool2d: [(x) => fj.maxPool2d(x, { kernelSize: 2 }), [3, 6, 5]],
    globalAvgPool2d: [(x) => fj.globalAvgPool2d(x), [3, 6, 5]],
    layerNorm: [(x) => fj.layerNorm(x), [6]],
    groupNorm: [(x) => fj.groupNorm(x, { groups: 2 }), [4, 3, 3]],
    klDivLoss: [(x) => fj.klDivLoss(fj.logSoftmax(x), fj.softmax(fj.neg(x)), { reduction: 'batchmean' }), [5]],
  }
  it.each(Object.keys(functions))('%s', async (name) => agrees(...functions[name]!))

  it('variance, from as many rows on as its correction', async () =>
    agrees((x) => fj.variance(x, { axes: 0, correction: 5.5 }), [4], [6, 9]))

  it('the mean of more elements than a float counts one by one', async () =>
    agrees((x) => fj.mean(fj.broadcastTo(x, [x.shape[0]!, 1000, 1025])), [1000, 1], [1, 3]))

  it('batchNorm in training, from two rows on', async () =>
    agrees((x) => fj.batchNorm(x, { training: true }), [4], [2, 9]))

  it('is read as null, and must be the same for all placeholders of a run', async () => {
    const x = fj.placeholder([null, 2], { name: 'x' })
    const y = fj.placeholder([null], { name: 'y' })
    expect(String(x)).toBe("Tensor('x', [null, 2], float32)")
    const z = fj.add(fj.sum(x, { axes: 1 }), y)
    using session = new fj.Session()
    const feed = new Map<fj.Tensor, fj.FeedValue>([
      [x, [[1, 2]]],
      [y, [1, 2, 3]],
    ])
    await expect(session.run(z, { feed })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_SHAPE',
        message: expect.stringContaining(
          "placeholder 'y' (null,) float32 is fed 3 where null stands, placeholder 'x' (null, 2) float32 1",
        ),
      }),
    )
    expect(() => fj.matmul(x, fj.ones([3, 2]))).toThrow(/\(null, 2\)/)
  })

  it('is that of what is fed where a value needs no placeholder', async () => {
    const x = fj.placeholder([null, 2], { name: 'x' })
    const labels = fj.placeholder([null], { name: 'labels' })
    const [dx] = fj.grad(fj.sum(labels), [x])
    using session = new fj.Session()
    for (const size of [1, 3]) {
      const feed = new Map([
        [x, fj.ones([size, 2])],
        [labels, fj.ones([size])],
      ])
      for (const zeros of [dx!, fj.zeros(x.shape)]) {
        const got = await session.run(zeros, { feed })
        expect(got.shape).toEqual([size, 2])
        expect([...(await got.data())]).toEqual(new Array(2 * size).fill(0))
      }
    }
    await expect(session.run(dx!)).rejects.toMatchObject({
      code: 'ERR_FEED_MISSING',
      message: 'session.run: a value has shape (null, 2), and no placeholder is fed that has null',
    })
  })

  it('may not be squared in a number of elements, where it could not be told from one less', async () => {
    const x = fj.placeholder([null, 2], { name: 'x' })
    const y = fj.matmul(x, x, { transposeB: true })
    using session = new fj.Session()
    const feed = new Map([[x, fj.ones([3, 2])]])
    const row = {
      pads: [
        [1, 0],
        [0, 0],
      ] as const,
    }
    for (const squared of [fj.mean(y), fj.variance(y), fj.mean(fj.concat([y, y])), fj.mean(fj.pad(y, row))]) {
      await expect(session.run(squared, { feed })).rejects.toMatchObject({
        code: 'ERR_UNSUPPORTED_OP',
        message: expect.stringContaining('a number of elements, grows with the square of an unknown size'),
      })
    }
    const mean = await session.run(fj.mean(fj.mean(y, { axes: 0 })), { feed })
    expect(await mean.item()).toBe(2)
    const large = fj.add(x, fj.full([2], 1e20))
    expect([...(await (await session.run(large, { feed })).data())]).toEqual(new Array(6).fill(Math.fround(1e20)))
  })

  it('may not be halved', async () => {
    const x = fj.placeholder([1, 1, null, 4], { name: 'x' })
    const y = fj.maxPool2d(x, { kernelSize: 2 })
    using session = new fj.Session()
    await expect(session.run(y, { feed: new Map([[x, fj.ones([1, 1, 6, 4])]]) })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED_OP',
        message: expect.stringContaining("maxPool2d's output cannot follow a dimension of unknown size"),
      }),
    )
  })
})

describe('feeding', () => {
  const x = fj.placeholder([null, 2], { name: 'x' })
  const index = fj.placeholder([2], { name: 'index', dtype: 'int32' })
  const sum = fj.add(fj.sum(x), fj.cast(fj.sum(index), 'float32'))
  const run = async (feed: Map<fj.Tensor, fj.FeedValue>) => {
    using session = new fj.Session()
    return await (await session.run(sum, { feed })).item()
  }

  it('takes tensors, nested arrays, typed arrays', async () => {
    const ints = Int32Array.of(3, 4)
    expect(
      await run(
        new Map<fj.Tensor, fj.FeedValue>([
          [x, [[1, 2]]],
          [index, [3, 4]],
        ]),
      ),
    ).toBe(10)
    expect(
      await run(
        new Map<fj.Tensor, fj.FeedValue>([
          [x, fj.ones([3, 2])],
          [index, ints],
        ]),
      ),
    ).toBe(13)
    expect(
      await run(
        new Map<fj.Tensor, fj.FeedValue>([
          [x, Float32Array.of(1, 2, 3, 4)],
          [index, ints],
        ]),
      ),
    ).toBe(17)
  })

  it('names what is missing or does not fit', async () => {
    const fails = (feed: unknown, code: string, text: string) =>
      expect(run(feed as never)).rejects.toThrow(
        expect.objectContaining({ code, message: expect.stringContaining(text) }),
      )
    const ok: [fj.Tensor, fj.FeedValue] = [x, [[1, 2]]]
    await fails(new Map([ok]), 'ERR_FEED_MISSING', "placeholder 'index' (2,) int32 needs a value")
    await fails(new Map([]), 'ERR_FEED_MISSING', "placeholder 'x' (null, 2) float32 needs a value")
    await fails(
      new Map<fj.Tensor, fj.FeedValue>([ok, [index, fj.ones([2])]]),
      'ERR_DTYPE',
      "placeholder 'index' (2,) int32 is fed float32",
    )
    await fails(new Map([[x, fj.ones([2, 3])]]), 'ERR_SHAPE', "'x' (null, 2) float32 is fed a value of shape (2, 3)")
    await fails(new Map([[x, Float32Array.of(1, 2, 3)]]), 'ERR_SHAPE', 'is fed a value of shape (3,)')
    await fails(new Map([ok, [index, [1, 2, 3]]]), 'ERR_SHAPE', 'is fed a value of shape (3,)')
    await fails(new Map([[fj.ones([2]), 1]]), 'ERR_ARGUMENT', 'a key that is no placeholder')
    await fails({ x: 1 }, 'ERR_ARGUMENT', 'feed must be a Map')
    expect(() => fj.placeholder([null, null], { name: 'p' })).toThrow("placeholder 'p': one dimension may be null")
    expect(() => fj.placeholder([-1])).toThrow('non-negative integers')
    expect(() => fj.placeholder([1], { dtype: 'float' as never })).toThrow('float')
  })

  it('one of unknown size is no single element, and item() says so', async () => {
    await expect(fj.placeholder([null, 2]).item()).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: 'item() needs exactly one element, the tensor has shape (null, 2)',
    })
  })

  it('is said to be missing outside a session too', async () => {
    await expect(x.data()).rejects.toMatchObject({
      code: 'ERR_FEED_MISSING',
      message: expect.stringContaining("placeholder 'x' (null, 2) float32 needs a value"),
    })
    const compiled = fj.compile((a: fj.Tensor) => fj.add(a, fj.cast(index, 'float32')))
    await expect(compiled(fj.ones([2]))).rejects.toMatchObject({ code: 'ERR_FEED_MISSING' })
    compiled.dispose()
  })

  it('ignores placeholders that the fetches do not need', async () => {
    using session = new fj.Session()
    const total = await session.run(fj.sum(x), {
      feed: new Map<fj.Tensor, fj.FeedValue>([
        [x, [[1, 2]]],
        [index, [9]],
      ]),
    })
    expect(await total.item()).toBe(3)
  })
})

describe('operations', () => {
  it('assign values that later runs see, and values fetched beside them are those before', async () => {
    const v = fj.variable(fj.tensor([1, 2]), { name: 'v' })
    const by = fj.placeholder([], { name: 'by' })
    const grow = fj.assign(v, fj.mul(v, by))
    using session = new fj.Session()
    const feed = new Map([[by, 3]])
    const [before, nothing] = await session.run([fj.mul(v, 1), grow], { feed })
    expect(nothing).toBeUndefined()
    expect(await numbers(before)).toEqual([1, 2])
    expect(await numbers(v)).toEqual([3, 6])
    await session.run(grow, { feed })
    expect(await numbers(await session.run(v))).toEqual([9, 18])
    await expect(session.run([grow, fj.assign(v, fj.ones([2]))], { feed })).rejects.toThrow(
      "two of the operations assign the variable 'v'",
    )
    expect(() => fj.assign(v, fj.ones([3]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  })

  it('initialise what exists when they are made, again and again', async () => {
    fj.setSeed(3)
    const v = fj.variable(fj.randn([3]), { name: 'v' })
    const first = await numbers(v)
    const initialize = fj.globalVariablesInitializer()
    using session = new fj.Session()
    await v.assign(fj.zeros([3]))
    await session.run(initialize)
    expect(await numbers(v)).toEqual(first)
    await v.assign(fj.zeros([3]))
    await session.run([initialize])
    expect(await numbers(v)).toEqual(first)
    v.dispose()
    await session.run(fj.globalVariablesInitializer())
  })

  it('need a placeholder in the loss: without one minimize belongs in a compiled function', () => {
    const v = fj.variable(fj.ones([2]))
    const optimizer = new fj.optim.SGD([v], { lr: 1 })
    expect(() => optimizer.minimize(fj.sum(v))).toThrow('outside a compiled function')
  })

  it('step an optimizer whose rate may change between runs', async () => {
    const v = fj.variable(fj.zeros([]), { name: 'v' })
    const target = fj.placeholder([], { name: 'target' })
    const optimizer = new fj.optim.SGD([v], { lr: 0.5 })
    const [dv] = fj.grad(fj.mul(0.5, fj.square(fj.sub(v, target))), [v])
    const step = optimizer.step([dv!])
    using session = new fj.Session()
    const feed = new Map([[target, 8]])
    await session.run(step, { feed })
    expect(await v.item()).toBe(4)
    optimizer.lr = 0.25
    await session.run(step, { feed })
    expect(await v.item()).toBe(5)
  })
})

it('draws random numbers anew at every run, the same for the same seed', async () => {
  const x = fj.placeholder([null, 20], { name: 'x' })
  const y = fj.dropout(x, { p: 0.5 })
  const feed = new Map([[x, fj.ones([3, 20])]])
  using session = new fj.Session()
  const draw = async () => numbers(await session.run(y, { feed }))
  fj.setSeed(7)
  const [first, second] = [await draw(), await draw()]
  expect(first).not.toEqual(second)
  fj.setSeed(7)
  expect(await draw()).toEqual(first)
})

it('runs in the order of the calls, awaited or not', async () => {
  const v = fj.variable(fj.zeros([]), { name: 'v' })
  const digit = fj.placeholder([], { name: 'digit' })
  const append = fj.assign(v, fj.add(fj.mul(v, 10), digit))
  using session = new fj.Session()
  await Promise.all([1, 2, 3, 4].map((d) => session.run(append, { feed: new Map([[digit, d]]) })))
  expect(await v.item()).toBe(1234)
})

it('runs more sizes at once than it keeps programs', async () => {
  const x = fj.placeholder([null], { name: 'x' })
  const total = fj.sum(x)
  using session = new fj.Session({ device: 'reference' })
  const sizes = Array.from({ length: 300 }, (_, i) => i + 1)
  const run = async (size: number) => (await session.run(total, { feed: new Map([[x, fj.ones([size])]]) })).item()
  expect(await Promise.all(sizes.map(run))).toEqual(sizes)
  expect(await Promise.all(sizes.map(run))).toEqual(sizes)
})

it('refuses what it cannot run', async () => {
  const session = new fj.Session()
  await expect(session.run('loss' as never)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  await expect(session.run(fj.ones([1]), { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
  const misspelt = { feeds: new Map() } as object
  await expect(session.run(fj.ones([1]), misspelt)).rejects.toThrow("unknown option 'feeds'; expected feed, signal")
  expect(() => new fj.Session({ devices: 'cpu' } as object)).toThrow("unknown option 'devices'")
  const pending = session.run(fj.sum(fj.ones([7])))
  session.close()
  session.close()
  const closed = { code: 'ERR_DISPOSED', message: 'session.run: the session was closed' }
  await expect(pending).rejects.toMatchObject(closed)
  await expect(session.run(fj.ones([1]))).rejects.toMatchObject(closed)
  expect(() => new fj.Session({ device: 'tpu' })).toThrow(expect.objectContaining({ code: 'ERR_DEVICE' }))
})
