/** Calls of compiled functions: their arguments, their order, and what stays behind when one fails. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { loadAddon } from '../../lib/runtime/addon.js'
import { settledMemory } from '../helpers/memory.js'

const MB = 2 ** 20
const code = (code: string) => expect.objectContaining({ code })

describe('arguments', () => {
  const double = fj.compile((x: fj.Tensor) => fj.mul(x, 2), { device: 'cpu' })
  const call = double as unknown as (...args: unknown[]) => Promise<fj.Tensor>

  it('end with options, whose signal may be undefined', async () => {
    for (const options of [{}, { signal: undefined }, { signal: new AbortController().signal }]) {
      expect(await (await call(fj.tensor(3), options)).item()).toBe(6)
    }
  })
  it.each([[null], [undefined], [5], [[]], [new Float32Array(1)], [{ signal: 5 }], [{ other: 1 }]])(
    'are tensors: %o is none',
    async (wrong) => {
      await expect(call(fj.tensor(1), wrong)).rejects.toThrow(code('ERR_ARGUMENT'))
      await expect(double.profile(wrong as never)).rejects.toThrow(code('ERR_ARGUMENT'))
    },
  )
})

it('refuses results that would leave tensors out, and calls without arguments', async () => {
  const map = fj.compile(() => new Map([['x', fj.ones([1])]]) as never)
  await expect((map as () => Promise<unknown>)()).rejects.toThrow('compile: the function returned Map; tensors in')
  const double = fj.compile((x: fj.Tensor) => fj.mul(x, 2))
  await expect((double.profile as () => Promise<unknown>)()).rejects.toThrow(
    'the compiled function takes 1 tensors, got 0',
  )
})

it('refuses a function that is not synchronous, whatever becomes of its promise', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  try {
    const late = fj.compile((async (x: fj.Tensor) => fj.tensor(await x.data())) as never, { device: 'cpu' })
    await expect((late as (x: fj.Tensor) => Promise<unknown>)(fj.tensor(1))).rejects.toThrow(code('ERR_ARGUMENT'))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', listener)
  }
})

it('takes the learning rate of the moment of the call, also where it is compiled first', async () => {
  const w = fj.variable(fj.zeros([1]))
  const optimizer = new fj.optim.SGD([w], { lr: 1 })
  const step = fj.compile(() => optimizer.minimize(fj.sum(w)) && undefined, { device: 'cpu' })
  const first = step()
  optimizer.lr = 100
  await Promise.all([first, step()])
  expect(await w.array()).toEqual([-101])
})

it('changes variables in the order of the calls, a profiled one among them', async () => {
  const w = fj.variable(fj.ones([1]))
  const add = fj.compile(() => void w.assign(fj.add(w, 1)), { device: 'cpu' })
  const double = fj.compile(() => void w.assign(fj.mul(w, 2)), { device: 'cpu' })
  await Promise.all([add(), double.profile(), add()])
  expect(await w.array()).toEqual([5])
})

it('releases what was made of a program that then is refused', async () => {
  const large = fj.tensor(new Float32Array(2 * MB), { shape: [2 * MB, 1] })
  const refused = fj.compile((x: fj.Tensor) => fj.matmul(large, x), { device: 'cpu', algorithms: { matmul: 'cublas' } })
  const before = await settledMemory()
  await expect(refused(fj.ones([1, 1]))).rejects.toThrow(code('ERR_UNSUPPORTED_OP'))
  expect(loadAddon().externalMemory() - before).toBeLessThan(MB)
})

it('releases a program that is compiled when its function is disposed', async () => {
  const large = fj.tensor(new Float32Array(2 * MB))
  const sum = fj.compile((x: fj.Tensor) => fj.sum(fj.add(large, x)), { device: 'cpu' })
  const before = await settledMemory()
  const call = sum(fj.tensor(1))
  sum.dispose()
  await expect(call).rejects.toThrow(code('ERR_DISPOSED'))
  expect(loadAddon().externalMemory() - before).toBeLessThan(MB)
})

it('has nothing to explain when it is disposed', async () => {
  const double = fj.compile((x: fj.Tensor) => fj.mul(x, 2), { device: 'cpu' })
  await double(fj.tensor(1))
  expect(double.explain()).toContain('fused {mul}')
  double.dispose()
  double.dispose()
  expect(double.explain()).toBe('not traced yet: call the function once')
})

it('reads a tensor that is disposed meanwhile', async () => {
  const x = fj.mul(fj.ones([2]), 3)
  const reads = [x.data(), x.array(), fj.evaluate([x]), fj.sum(x).item()]
  x.dispose()
  expect(await Promise.all(reads)).toEqual([Float32Array.of(3, 3), [3, 3], [Float32Array.of(3, 3)], 6])
})
