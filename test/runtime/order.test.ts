/** Program order: what was called first takes effect first, although nothing is awaited and much is compiled first. */
import { beforeAll, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

beforeAll(() => fj.setDefaultDevice('cpu'))

/** A step that adds `by` to w, not compiled yet. */
const adding = (w: fj.Variable, by = 1, device = 'cpu') => fj.compile(() => void w.assign(fj.add(w, by)), { device })

describe('behind a call that is still compiled', () => {
  it.each<[string, (w: fj.Variable) => Promise<unknown>]>([
    ['data()', async (w) => [...(await w.data())]],
    ['array() of an expression', (w) => fj.mul(w, 1).array()],
    [
      'a transposed view',
      async (w) =>
        await fj
          .transpose(fj.reshape(w, [1, 1]))
          .reshape([1])
          .array(),
    ],
    ['evaluate()', async (w) => [...(await fj.evaluate([w, fj.add(w, 0)])).map((data) => data[0])].slice(1)],
    ['snapshot()', async (w) => await (await w.snapshot()).array()],
    [
      'a session',
      async (w) => {
        using session = new fj.Session({ device: 'cpu' })
        return await (await session.run(fj.mul(w, 1))).array()
      },
    ],
    [
      'an argument',
      async (w) => await (await fj.compile((x: fj.Tensor) => fj.mul(x, 1), { device: 'cpu' })(w)).array(),
    ],
  ])('comes %s', async (_name, read) => {
    const w = fj.variable(fj.tensor([1]))
    const done = adding(w)()
    expect(await read(w)).toEqual([2])
    await done
  })
  it('comes assign(), of data and of an expression', async () => {
    const w = fj.variable(fj.tensor([1]))
    const first = adding(w)()
    const second = w.assign(fj.tensor([10]))
    await Promise.all([first, second])
    expect(await w.array()).toEqual([10])
    const third = adding(w, 2)()
    const fourth = w.assign(fj.mul(w, 3))
    await Promise.all([third, fourth])
    expect(await w.array()).toEqual([36])
  })
  it('comes what another device does', async () => {
    const w = fj.variable(fj.tensor([1]))
    const double = fj.compile(() => void w.assign(fj.mul(w, 2)), { device: 'reference' })
    await Promise.all([adding(w)(), double(), adding(w, 5)(), double()])
    expect(await w.array()).toEqual([18])
  })
  it('come state dictionaries and saved weights', async () => {
    const layer = new fj.nn.Linear(1, 1)
    await layer.bias!.assign(fj.tensor([1]))
    const step = adding(layer.bias!)()
    expect(await (await layer.stateDict()).bias!.array()).toEqual([2])
    await step
  })
  it('comes setSeed()', async () => {
    const draw = () => fj.compile(() => fj.rand([2]), { device: 'cpu' })
    fj.setSeed(3)
    const expected = await (await draw()()).array()
    fj.setSeed(3)
    const first = draw()()
    fj.setSeed(4)
    expect(await (await first).array()).toEqual(expected)
  })
})

describe('before a call that could start at once', () => {
  it.each<[string, (w: fj.Variable) => Promise<unknown>, number]>([
    ['comes a reading that is compiled first', (w) => fj.sum(fj.exp(fj.log(w))).item(), 1],
    [
      'comes an argument that is evaluated first',
      async (w) => {
        const y = await fj.compile((x: fj.Tensor) => fj.mul(x, 1), { device: 'cpu' })(fj.mul(w, 1))
        return await y.item()
      },
      1,
    ],
    [
      'comes a profile',
      async (w) => {
        await adding(w, 0).profile()
        return 1
      },
      1,
    ],
  ])('%s', async (_name, read, expected) => {
    const w = fj.variable(fj.tensor([1]))
    const ready = adding(w)
    await ready()
    await w.assign(fj.tensor([1]))
    const first = read(w)
    const second = ready()
    expect(await first).toBe(expected)
    await second
    expect(await w.array()).toEqual([2])
  })
  it('comes an assignment', async () => {
    const w = fj.variable(fj.tensor([1]))
    const ready = adding(w)
    await ready()
    const calls = [w.assign(fj.tensor([10])), ready(), w.assign(fj.mul(w, 2)), ready()]
    await Promise.all(calls)
    expect(await w.array()).toEqual([23])
  })
  it("comes an optimizer's state, all of one moment", async () => {
    const w = fj.variable(fj.zeros([1]))
    const optimizer = new fj.optim.Adam([w], { lr: 0.1 })
    const step = fj.compile(() => void optimizer.minimize(fj.sum(w)), { device: 'cpu' })
    await step()
    const expected = await optimizer.stateDict()
    const dict = optimizer.stateDict()
    await Promise.all([step(), step()])
    for (const [name, value] of Object.entries(await dict)) {
      expect([...(await value.data())]).toEqual([...(await expected[name]!.data())])
    }
  })
})

it('makes a variable of what others are at that moment', async () => {
  const online = fj.variable(fj.tensor([1]))
  const step = adding(online)
  const done = step()
  const target = fj.variable(online)
  const scaled = fj.variable(fj.mul(online, 10))
  for (let i = 0; i < 3; i++) await step()
  expect([await online.array(), await target.array(), await scaled.array()]).toEqual([[5], [2], [20]])
  const track = fj.compile(() => void target.assign(fj.add(target, fj.mul(online, 0.5))), { device: 'cpu' })
  await track()
  expect(await target.array()).toEqual([4.5])
  await done
})

it('waits for nothing of other variables', async () => {
  const [v, w] = [fj.variable(fj.tensor([1])), fj.variable(fj.tensor([1]))]
  const slow = fj.compile(
    () => {
      let y: fj.Tensor = w
      for (let i = 0; i < 500; i++) y = fj.sin(fj.add(y, i))
      return void w.assign(y)
    },
    { device: 'cpu' },
  )
  const ready = adding(v)
  await ready()
  const order: string[] = []
  await Promise.all([
    slow().then(() => order.push('slow')),
    ready().then(() => order.push('ready')),
    v.data().then(() => order.push('read')),
  ])
  expect(order.at(-1)).toBe('slow')
})

it('goes on behind a call that failed', async () => {
  const w = fj.variable(fj.tensor([1]))
  const refused = fj.compile(() => void w.assign(fj.reshape(fj.matmul(fj.ones([1, 1]), fj.reshape(w, [1, 1])), [1])), {
    device: 'cpu',
    algorithms: { matmul: 'cublas' },
  })
  const first = refused()
  const second = adding(w)()
  const read = w.array()
  await expect(first).rejects.toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED_OP' }))
  await second
  expect(await read).toEqual([2])
})

it('takes arguments as they were at the call, also where they are disposed meanwhile', async () => {
  const w = fj.variable(fj.tensor([1]))
  const add = fj.compile((x: fj.Tensor) => fj.add(w, x), { device: 'cpu' })
  const x = fj.mul(fj.tensor([2]), 3)
  const call = add(x)
  x.dispose()
  expect(await (await call).array()).toEqual([7])
})

/** Of `values`, by a linear congruential generator. */
function pickerOf(seed: number) {
  let state = seed
  return <T>(values: readonly T[]): T => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return values[(state >> 8) % values.length]!
  }
}

it.each([1, 2, 3, 4])('keeps the order of whatever is called, on two devices: seed %i', async (seed) => {
  const pick = pickerOf(seed)
  for (let trial = 0; trial < 10; trial++) {
    const w = [fj.variable(fj.tensor([1])), fj.variable(fj.tensor([2]))]
    const expected = [1, 2]
    const waits: Promise<unknown>[] = []
    const expectValue = (what: string, got: Promise<number>, value: number) =>
      waits.push(got.then((number) => expect([what, number]).toEqual([what, value])))
    const steps = Array.from({ length: 3 }, () => {
      const [to, from] = [pick([0, 1]), pick([0, 1])]
      const step = fj.compile(
        (x: fj.Tensor) => {
          const y = fj.add(fj.mul(w[from]!, 0.5), x)
          void w[to]!.assign(y)
          return y
        },
        { device: pick(['cpu', 'cpu', 'reference']) },
      )
      return { step, to, from }
    })
    for (let call = 0; call < 20; call++) {
      const i = pick([0, 1])
      const x = expected[i]!
      const what = pick(['data', 'mul', 'evaluate', 'snapshot', 'assign', 'assign', 'step', 'step', 'step', 'pause'])
      if (what === 'data') expectValue(what, w[i]!.item(), x)
      if (what === 'mul') expectValue(what, fj.mul(w[i]!, 2).item(), 2 * x)
      if (what === 'snapshot')
        expectValue(
          what,
          w[i]!.snapshot().then((y) => y.item()),
          x,
        )
      if (what === 'evaluate') {
        const both = fj.evaluate([fj.add(w[0]!, w[1]!), w[i]!])
        expectValue(
          what,
          both.then(([sum, y]) => sum![0]! - y![0]!),
          expected[1 - i]!,
        )
      }
      if (what === 'assign') {
        waits.push(w[i]!.assign(pick([fj.tensor([call]), fj.add(fj.mul(w[1 - i]!, 0), call)])))
        expected[i] = call
      }
      if (what === 'step') {
        const { step, to, from } = pick(steps)
        const y = 0.5 * expected[from]! + x
        expectValue(
          what,
          step(pick([w[i]!, fj.mul(w[i]!, 1)])).then((y) => y.item()),
          y,
        )
        expected[to] = y
      }
      // Halves of small integers: exact for so few steps.
      if (what === 'pause') await Promise.all(waits)
    }
    await Promise.all(waits)
    expect(await Promise.all(w.map((y) => y.item()))).toEqual(expected)
  }
})
