import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { settledMemory } from '../helpers/memory.js'

it('stops gradients, and nothing else', async () => {
  const x = fj.tensor([1, 2, 3])
  const h = fj.square(x)
  const y = fj.mul(fj.detach(h), x)
  const [dx] = fj.grad(fj.sum(y), [x])
  expect(await y.array()).toEqual([1, 8, 27])
  // d/dx of c x, c being x² held fast.
  expect(await dx!.array()).toEqual([1, 4, 9])
  const [all] = fj.grad(fj.sum(h.detach()), [x])
  expect(await all!.array()).toEqual([0, 0, 0])
})

it('is itself a tensor that can be differentiated by', async () => {
  const x = fj.tensor([2, 3])
  const c = fj.square(x).detach()
  const [dc, dx] = fj.grad(fj.sum(fj.mul(c, x)), [c, x])
  expect(await dc!.array()).toEqual([2, 3])
  expect(await dx!.array()).toEqual([4, 9])
})

it('lets the straight-through estimator round', async () => {
  const w = fj.variable(fj.tensor([0.4, 1.6]))
  const sgd = new fj.optim.SGD([w], { lr: 1 })
  const step = fj.compile((target: fj.Tensor) => {
    const rounded = fj.cast(fj.cast(fj.add(w, 0.5), 'int32'), 'float32')
    const passed = fj.add(w, fj.detach(fj.sub(rounded, w)))
    const loss = fj.sum(fj.mul(passed, target))
    sgd.minimize(loss)
    return passed
  })
  expect(await (await step(fj.tensor([0.1, 0.2]))).array()).toEqual([0, 2])
  const [a, b] = (await w.array()) as number[]
  expect(a).toBeCloseTo(0.3, 6)
  expect(b).toBeCloseTo(1.4, 6)
})

it('keeps the generator of a discriminator step out of its gradients', async () => {
  fj.setSeed(1)
  const generator = new fj.nn.Linear(2, 2)
  const discriminator = new fj.nn.Linear(2, 1)
  const both = new fj.optim.SGD([...generator.parameters(), ...discriminator.parameters()], { lr: 0.1 })
  const step = fj.compile((z: fj.Tensor) => {
    const score = discriminator.forward(generator.forward(z).detach())
    both.minimize(fj.mean(score))
    return score
  })
  const before = await generator.weight.data()
  const head = await discriminator.weight.data()
  await step(fj.ones([3, 2]))
  expect(await generator.weight.data()).toEqual(before)
  expect(await discriminator.weight.data()).not.toEqual(head)
})

it('costs nothing: the program has no such step', async () => {
  const twice = fj.compile((x: fj.Tensor) => fj.relu(fj.mul(x.detach(), 2)))
  await twice(fj.ones([4]))
  expect(twice.explain()).not.toContain('reshape')
})

it.each<[string, (x: fj.Tensor) => Promise<fj.Tensor>]>([
  [
    'before',
    async (x) => {
      const y = fj.mul(x, 0.5).detach()
      await y.data()
      return y
    },
  ],
  [
    'after',
    async (x) => {
      const y = fj.mul(x, 0.5)
      await y.data()
      return y.detach()
    },
  ],
])('lets go of what a value was made of: %s it is read', async (_name, next) => {
  let x = await next(await next(fj.ones([250_000])))
  const before = await settledMemory() // the programs of a step, which are kept, among it
  for (let i = 0; i < 28; i++) x = await next(x)
  expect((await settledMemory()) - before).toBeLessThan(8 * 2 ** 20)
  expect((await x.data())[0]).toBe(2 ** -30)
  const [dx] = fj.grad(fj.sum(fj.square(x)), [x])
  expect((await dx!.data())[0]).toBe(2 ** -29)
})

it('is a constant like any other once it is read', async () => {
  const x = fj.tensor([1, 2])
  const c = fj.mul(x, 3).detach()
  const [part, scale] = [fj.slice(c, { starts: [1] }), fj.compile((y: fj.Tensor) => fj.mul(y, c))]
  await c.data()
  await fj.gradcheck((y) => fj.sum(fj.mul(y, c)), [x])
  expect([await part.array(), await (await scale(x)).array()]).toEqual([[6], [3, 12]])
  const w = fj.variable(c)
  await w.assign(x)
  using session = new fj.Session()
  await session.run(fj.globalVariablesInitializer())
  expect(await w.array()).toEqual([3, 6])
})
