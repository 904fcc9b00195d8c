/** Cancelling, the order of runs, disposing while runs are in flight. */
import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

/** A program of many short instructions that then adds 1 to `counter`. */
function longStep(counter: fj.Variable, products: number) {
  const weight = fj.eye(256)
  return fj.compile((x: fj.Tensor) => {
    let y = x
    for (let i = 0; i < products; i++) y = fj.matmul(y, weight)
    counter.assign(fj.add(counter, 1))
    return fj.sum(y)
  })
}
const input = fj.ones([256, 256])

describe('a signal', () => {
  it('that is aborted before the call rejects with its reason and changes nothing', async () => {
    const counter = fj.variable(fj.zeros([]))
    const step = longStep(counter, 2)
    const reason = new Error('not today')
    await expect(step(input, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(await counter.item()).toBe(0)
  })

  it('stops a run between two instructions, before any variable changes', async () => {
    const counter = fj.variable(fj.zeros([]))
    const step = longStep(counter, 4000)
    const controller = new AbortController()
    const reason = { why: 'changed my mind' }
    const running = step(input, { signal: controller.signal })
    await sleep(300)
    const began = performance.now()
    controller.abort(reason)
    await expect(running).rejects.toBe(reason)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(await counter.item()).toBe(0)
    step.dispose()
  })

  it('stops a run that waits in the queue; those around it are answered in order', async () => {
    const counter = fj.variable(fj.zeros([]))
    const step = longStep(counter, 40)
    await step(input)
    const order: string[] = []
    const controller = new AbortController()
    const note = (name: string, promise: Promise<unknown>) =>
      promise.then(
        () => order.push(name),
        () => order.push(`${name} rejected`),
      )
    const all = [
      note('a', step(input)),
      note('b', step(input, { signal: controller.signal })),
      note('c', step(input)),
      note('d', step(input)),
    ]
    await sleep(0)
    controller.abort()
    await Promise.all(all)
    expect(order).toEqual(['a', 'b rejected', 'c', 'd'])
    expect(await counter.item()).toBe(4)
  })

  it('that is aborted after the run changes nothing', async () => {
    const counter = fj.variable(fj.zeros([]))
    const step = longStep(counter, 1)
    const controller = new AbortController()
    expect(await (await step(input, { signal: controller.signal })).item()).toBe(65536)
    controller.abort()
    expect(await counter.item()).toBe(1)
    expect(await (await step(input)).item()).toBe(65536)
  })

  it('keeps no listener: 10,000 runs with one signal', async () => {
    const warnings: Error[] = []
    const listen = (warning: Error) => warnings.push(warning)
    process.on('warning', listen)
    const { signal } = new AbortController()
    const f = fj.compile((x: fj.Tensor) => fj.add(x, 1))
    const x = fj.zeros([1])
    for (let i = 0; i < 10_000; i += 5) {
      await Promise.all(Array.from({ length: 5 }, () => f(x, { signal })))
    }
    expect(getEventListeners(signal, 'abort')).toEqual([])
    await sleep(0)
    process.off('warning', listen)
    expect(warnings).toEqual([])
  })
})

it('starts calls in the order they were written, also where one must be traced first', async () => {
  const v = fj.variable(fj.tensor([1]))
  const double = fj.compile((_: fj.Tensor) => void v.assign(fj.mul(v, 2)))
  const increment = fj.compile((_: fj.Tensor) => void v.assign(fj.add(v, 1)))
  const [a, b] = [fj.zeros([1]), fj.zeros([2])]
  await increment(a) // 2; traced for (1,)
  await Promise.all([double(a), increment(a), double(b), increment(a), increment(b), double(a)])
  expect(await v.array()).toEqual([((2 * 2 + 1) * 2 + 1 + 1) * 2])
})

describe('dispose', () => {
  it('lets a run in flight end and refuses later ones', async () => {
    const counter = fj.variable(fj.zeros([]))
    const step = longStep(counter, 40)
    await step(input)
    const running = step(input)
    await sleep(1)
    step.dispose()
    step.dispose()
    expect(await (await running).item()).toBe(65536)
    await expect(step(input)).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
    expect(await counter.item()).toBe(2)
  })

  it('of a variable refuses programs that use it', async () => {
    const v = fj.variable(fj.ones([4]), { name: 'gone' })
    const f = fj.compile((x: fj.Tensor) => fj.add(x, v))
    await f(fj.ones([4]))
    v.dispose()
    await expect(f(fj.ones([4]))).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
    await expect(v.data()).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
    expect(() => fj.add(v, 1)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }))
  })
})

it('evaluates 400 different graphs at once, more than are cached', async () => {
  const read = Array.from({ length: 400 }, (_, i) => fj.add(fj.ones([i + 1]), i).data())
  const all = await Promise.all(read)
  all.forEach((data, i) => expect(data[i]).toBe(i + 1))
})

it('reports memory that no machine has', async () => {
  await expect(
    fj
      .sum(
        fj.mul(
          fj.broadcastTo(fj.ones([1]), [2 ** 21, 2 ** 21]),
          fj.transpose(fj.broadcastTo(fj.arange(2 ** 21), [2 ** 21, 2 ** 21])),
        ),
      )
      .data(),
  ).rejects.toMatchObject({
    code: 'ERR_OUT_OF_MEMORY',
  })
})
