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

it('has a method for each free function that takes a tensor first', () => {
  const methods = new Set(Object.getOwnPropertyNames(fj.Tensor.prototype))
  const functions = Object.entries(fj).filter(([name, fn]) => typeof fn === 'function' && /^[a-z]/.test(name))
  const others = functions.map(([name]) => name).filter((name) => !methods.has(name))
  expect(functions.length - others.length).toBeGreaterThan(90)
  const made = ['arange', 'concat', 'eye', 'full', 'ones', 'placeholder', 'rand', 'randint', 'randn', 'stack', 'tensor']
  const ofMany = ['clipGradNorm', 'evaluate', 'grad', 'gradcheck', 'l1Penalty', 'l2Penalty']
  const ofModels = [
    'evaluateModel',
    'fit',
    'learningRateFinder',
    'load',
    'loadCheckpoint',
    'predict',
    'replaceHead',
    'save',
  ]
  const ofPrograms = ['assign', 'compile', 'globalVariablesInitializer', 'variable']
  const settings = ['cudaStatus', 'devices', 'setDefaultDevice', 'setSeed', 'setThreads']
  const known = [...made, 'zeros', ...ofMany, ...ofModels, 'saveCheckpoint', ...ofPrograms, ...settings]
  expect(others.sort()).toEqual(known.sort())
  expect(fj.ones([2, 3]).takeAlongAxis(fj.zeros([2, 1], { dtype: 'int32' })).shape).toEqual([2, 1])
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
