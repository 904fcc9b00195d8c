import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

it('has every operation as a method of its first operand', async () => {
  const x = fj.tensor([
    [1, -2],
    [3, 4],
  ])
  expect(await x.add(1).relu().sum({ axes: 1 }).array()).toEqual([2, 9])
  expect(await x.matmul(fj.eye(2)).transpose().flatten().array()).toEqual([1, 3, -2, 4])
  expect(await x.argMax({ axis: 1 }).array()).toEqual([0, 1])
})

it('has a method for each free function that takes a tensor first, and no other', () => {
  const free = new Set(Object.keys(fj))
  const methods = Object.getOwnPropertyNames(fj.Tensor.prototype).filter((name) => free.has(name))
  expect(methods.length).toBeGreaterThan(90)
  const missing = [
    'add',
    'conv2d',
    'maxPool2d',
    'batchNorm',
    'crossEntropy',
    'dropout',
    'gather',
    'pad',
    'softmax',
  ].filter((name) => !methods.includes(name))
  expect(missing).toEqual([])
})

it('evaluates several tensors by one program', async () => {
  const x = fj.tensor([1, 2])
  const [sum, square] = await fj.evaluate([fj.sum(x), fj.square(x)])
  expect([[...sum!], [...square!]]).toEqual([[3], [1, 4]])
  square![0] = 7
  expect(await fj.square(x).array()).toEqual([1, 4])
  expect(await fj.evaluate([])).toEqual([])
  await expect(fj.evaluate(x as never)).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})
