import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { applyAll } from '../../lib/ops/apply.js'
import { adamUpdateOp, sgdUpdateOp } from '../../lib/ops/optim.js'
import { compareWithReference, expectClose, goldenCases, goldenTensor, randomTensor } from '../helpers/compare.js'
import { DEVICES, TEST_DEVICE } from '../helpers/device.js'

const KINDS = {
  sgd: fj.optim.SGD,
  adam: fj.optim.Adam,
  adamw: fj.optim.AdamW,
  adagrad: fj.optim.Adagrad,
  rmsprop: fj.optim.RMSprop,
  adadelta: fj.optim.Adadelta,
  adamax: fj.optim.Adamax,
  nadam: fj.optim.NAdam,
}

describe.each(DEVICES)('golden on %s', (device) => {
  const cases = Object.keys(KINDS).flatMap((kind) => goldenCases(`optim.${kind}`))
  it.each(cases)('$name', async (test) => {
    const Kind = KINDS[test.op.slice('optim.'.length) as keyof typeof KINDS]
    const p = fj.variable(goldenTensor(test.inputs.p!))
    const optimizer = new Kind([p], test.attrs)
    const step = fj.compile(
      (g: fj.Tensor) => {
        optimizer.step([g])
        return null
      },
      { device },
    )
    for (const [i, g] of test.gradients!.entries()) {
      await step(goldenTensor(g))
      expectClose(await p.data(), test.trajectory![i]!.data, `${test.name} after step ${i + 1}`, { rtol: 1e-6 })
    }
  })
})

describe.each([[[]], [[1]], [[7]], [[31, 33]], [[127, 3]], [[0, 4]]])('shape %j', (shape) => {
  const [p, g, v, w] = [1, 2, 3, 4].map((seed) => randomTensor(shape, seed)) as [
    fj.Tensor,
    fj.Tensor,
    fj.Tensor,
    fj.Tensor,
  ]
  const [lr, none, some] = [fj.tensor(0.1), fj.tensor(0, { dtype: 'int32' }), fj.tensor(4, { dtype: 'int32' })]
  const options = { gradients: false, rtol: 1e-5 }

  it('sgdUpdate agrees with the reference', async () => {
    const attrs = { momentum: 0.9, dampening: 0.25, weightDecay: 0.01, nesterov: 0 }
    await compareWithReference((...x) => applyAll(sgdUpdateOp, x, attrs), [lr, none, p, g], options)
    for (const nesterov of [0, 1]) {
      for (const step of [none, some]) {
        const run = (...x: fj.Tensor[]) => applyAll(sgdUpdateOp, x, { ...attrs, nesterov })
        await compareWithReference(run, [lr, step, p, g, v], options)
      }
    }
  })

  it('adamUpdate agrees with the reference', async () => {
    const [m2, largest] = [fj.mul(v, v), fj.mul(w, w)]
    for (const decoupled of [0, 1]) {
      const attrs = { rate1: 1 - 0.9, rate2: 1 - 0.999, eps: 1e-8, weightDecay: 0.1, decoupled }
      for (const step of [none, some]) {
        for (const state of [
          [w, m2],
          [w, m2, largest],
        ]) {
          await compareWithReference((...x) => applyAll(adamUpdateOp, x, attrs), [lr, step, p, g, ...state], options)
        }
      }
    }
  })
})

it('adamUpdate keeps nothing of the means before where betas are 0', async () => {
  const [p, g, m] = [fj.zeros([7]), fj.full([7], 1e-4), fj.full([7], 30)]
  const [lr, step] = [fj.tensor(0.1), fj.tensor(4, { dtype: 'int32' })]
  const attrs = { rate1: 1, rate2: 1, eps: 1e-8, weightDecay: 0, decoupled: 0 }
  const run = (...x: fj.Tensor[]) => applyAll(adamUpdateOp, x, attrs)
  await compareWithReference(run, [lr, step, p, g, m, m], { gradients: false, rtol: 1e-5, atol: 0 })
})

describe('updates of many parameters', () => {
  // More than one joined step holds, and more than one launch; sizes around a cache line and a block, none too.
  const sizes = Array.from({ length: 300 }, (_, i) => [0, 1, 15, 16, 17, 255, 256, 257, 1000][i % 9]!)
  const MAKES: [string, RegExp, (p: readonly fj.Variable[]) => fj.optim.Optimizer][] = [
    ['SGD', /^\d+ +sgdUpdate/gm, (p) => new fj.optim.SGD(p, { lr: 0.1, weightDecay: 0.1 })],
    ['momentum', /^\d+ +sgdUpdate/gm, (p) => new fj.optim.SGD(p, { lr: 0.1, momentum: 0.9 })],
    ['Adam', /^\d+ +adamUpdate/gm, (p) => new fj.optim.Adam(p, { lr: 0.1 })],
    ['AMSGrad', /^\d+ +adamUpdate/gm, (p) => new fj.optim.Adam(p, { lr: 0.1, amsgrad: true })],
  ]

  it.each(MAKES)('run together and give what each would alone: %s', async (_name, update, make) => {
    const results: Float32Array[][] = []
    for (const device of [TEST_DEVICE, 'reference']) {
      const parameters = sizes.map((size, i) => fj.variable(randomTensor([size], i + 1)))
      const optimizer = make(parameters)
      const gradients = sizes.map((size, i) => randomTensor([size], i + 1001))
      const step = fj.compile(() => void optimizer.step(gradients) as undefined, { device })
      for (let i = 0; i < 3; i++) await step()
      if (device === TEST_DEVICE) {
        expect(step.explain().match(update)).toHaveLength(2)
        expect(step.explain()).toContain('256 joined')
        expect(step.explain()).toContain('44 joined')
      }
      results.push((await Promise.all(parameters.map((p) => p.data()))) as Float32Array[])
    }
    sizes.forEach((size, i) => {
      expectClose(results[0]![i]!, results[1]![i]!, `parameter ${i} of ${size} elements`, { rtol: 1e-5, atol: 1e-6 })
    })
  })

  it('run apart where learning rates or decays differ', async () => {
    const [a, b, c] = [1, 2, 3].map((i) => fj.variable(fj.tensor([i])))
    const sgd = new fj.optim.SGD(
      [
        { params: [a!, b!], lr: 1 },
        { params: [c!], lr: 0.5 },
      ],
      { lr: 1 },
    )
    const step = fj.compile((g: fj.Tensor) => void sgd.step([g, g, g]) as undefined, { device: TEST_DEVICE })
    await step(fj.tensor([1]))
    expect(await Promise.all([a!, b!, c!].map((p) => p.item()))).toEqual([0, 1, 2.5])
    expect(step.explain().match(/^\d+ +sgdUpdate/gm)).toHaveLength(2)
  })
})

it('dampens from the second step on only, as PyTorch', async () => {
  const p = fj.variable(fj.tensor([1]))
  const sgd = new fj.optim.SGD([p], { lr: 1, momentum: 0.5, dampening: 0.5 })
  const step = fj.compile((g: fj.Tensor) => void sgd.step([g]) as undefined)
  await step(fj.tensor([1]))
  expect(await p.array()).toEqual([0])
  await step(fj.tensor([1]))
  expect(await p.array()).toEqual([-1]) // v = 0.5 · 1 + 0.5 · 1
})

/** y = relu(x w1) w2 with w1 stored transposed; its loss against targets. */
function network() {
  const w1 = fj.variable(randomTensor([5, 7], 11), { name: 'w1', storageAxes: [1, 0] })
  const w2 = fj.variable(randomTensor([7, 3], 12), { name: 'w2' })
  const loss = (x: fj.Tensor, y: fj.Tensor) => {
    const error = fj.sub(fj.matmul(fj.relu(fj.matmul(x, w1)), w2), y)
    return fj.mul(fj.sum(fj.mul(error, error)), 1 / x.shape[0]!)
  }
  return { w1, w2, loss }
}

const x = randomTensor([16, 5], 13)
const y = randomTensor([16, 3], 14)

type Make = (parameters: fj.Variable[]) => fj.optim.Optimizer
const MAKERS: [string, Make][] = [
  ['SGD', (p) => new fj.optim.SGD(p, { lr: 0.02 })],
  ['SGD with momentum', (p) => new fj.optim.SGD(p, { lr: 0.02, momentum: 0.9, nesterov: true })],
  ['Adam', (p) => new fj.optim.Adam(p, { lr: 0.02, amsgrad: true })],
  ['AdamW', (p) => new fj.optim.AdamW(p, { lr: 0.02 })],
  ['Adagrad', (p) => new fj.optim.Adagrad(p, { lr: 0.2, lrDecay: 0.01 })],
  ['RMSprop', (p) => new fj.optim.RMSprop(p, { lr: 0.01, centered: true, momentum: 0.5 })],
  ['NAdam', (p) => new fj.optim.NAdam(p, { lr: 0.05 })],
]

describe.each(MAKERS)('%s', (_name, make) => {
  const compiled = (net: ReturnType<typeof network>, optimizer: fj.optim.Optimizer, device = TEST_DEVICE) =>
    fj.compile(
      (a: fj.Tensor, b: fj.Tensor) => {
        const loss = net.loss(a, b)
        optimizer.minimize(loss)
        return loss
      },
      { device },
    )

  it('minimizes a loss, the same on cpu and reference', async () => {
    const results: number[][] = []
    for (const device of [TEST_DEVICE, 'reference']) {
      const net = network()
      const step = compiled(net, make([net.w1, net.w2]), device)
      const losses: number[] = []
      for (let i = 0; i < 30; i++) losses.push(await (await step(x, y)).item())
      expect(losses.at(-1)).toBeLessThan(losses[0]! / 3)
      results.push([...losses, ...(await net.w1.data()), ...(await net.w2.data())])
    }
    expectClose(results[0]!, results[1]!, 'losses and weights', { rtol: 1e-4 })
  })

  it('updates the variables where they are', async () => {
    const net = network()
    const optimizer = make([net.w1, net.w2])
    const step = compiled(net, optimizer)
    await step(x, y)
    const text = step.explain()
    // Where there is a kernel for the update nothing is copied into variables, not even the count of the steps.
    if (/^(SGD|Adam)/.test(optimizer.name)) expect(text).not.toMatch(/^\d+ +copy/m)
    else expect(text).not.toMatch(/(sgd|adam)Update/)
  })

  it('goes on from its state bit for bit', async () => {
    const whole = network()
    const optimizer = make([whole.w1, whole.w2])
    const step = compiled(whole, optimizer)
    for (let i = 0; i < 3; i++) await step(x, y)
    const resumed = network()
    const second = make([resumed.w1, resumed.w2])
    second.lr = 5
    await second.loadStateDict(await optimizer.stateDict())
    await resumed.w1.assign(await whole.w1.snapshot())
    await resumed.w2.assign(await whole.w2.snapshot())
    expect(second.lr).toBe(optimizer.lr)
    const go = compiled(resumed, second)
    for (let i = 0; i < 3; i++) {
      await step(x, y)
      await go(x, y)
    }
    expect(await resumed.w1.data()).toEqual(await whole.w1.data())
    expect(await resumed.w2.data()).toEqual(await whole.w2.data())
  })

  it('takes gradients as well as a loss', async () => {
    const [a, b] = [network(), network()]
    const [one, two] = [make([a.w1, a.w2]), make([b.w1, b.w2])]
    const step = compiled(a, one)
    const other = fj.compile((u: fj.Tensor, v: fj.Tensor) => {
      two.step(fj.grad(b.loss(u, v), [b.w1, b.w2]))
      return null
    })
    for (let i = 0; i < 2; i++) {
      await step(x, y)
      await other(x, y)
    }
    expect(await b.w1.data()).toEqual(await a.w1.data())
    expect(await b.w2.data()).toEqual(await a.w2.data())
  })
})

it('changes lr without compiling anew', async () => {
  const p = fj.variable(fj.tensor([1]))
  const sgd = new fj.optim.SGD([p], { lr: 1 })
  let traces = 0
  const step = fj.compile((g: fj.Tensor) => {
    traces++
    sgd.step([g])
    return null
  })
  await step(fj.tensor([1]))
  sgd.lr = 0.5
  await step(fj.tensor([1]))
  expect(await p.array()).toEqual([-0.5])
  expect(traces).toBe(1)
})

it('leaves frozen parameters and those the loss does not reach', async () => {
  const { w1, w2, loss } = network()
  const apart = fj.variable(fj.ones([2]))
  const before = [await w1.data(), await w2.data()]
  w1.trainable = false
  const adam = new fj.optim.Adam([w1, w2, apart])
  const step = fj.compile((a: fj.Tensor, b: fj.Tensor) => {
    const value = loss(a, b)
    adam.minimize(value)
    return value
  })
  await step(x, y)
  expect(await w1.data()).toEqual(before[0])
  expect(await w2.data()).not.toEqual(before[1])
  expect(await apart.array()).toEqual([1, 1])
})

it('updates a parameter that is its own gradient, and two that are each other gradients', async () => {
  const [a, b] = [fj.variable(fj.tensor([1, 2])), fj.variable(fj.tensor([10, 20]))]
  const sgd = new fj.optim.SGD([a, b], { lr: 0.1, momentum: 0.9 })
  const step = fj.compile(() => {
    sgd.minimize(fj.sum(fj.mul(a, b)))
    return null
  })
  await step()
  expectClose(await a.data(), [0, 0], 'a - 0.1 b')
  expectClose(await b.data(), [9.9, 19.8], 'b - 0.1 a')
  const c = fj.variable(fj.tensor([4]))
  const own = new fj.optim.SGD([c], { lr: 0.25 })
  await fj.compile(() => void own.step([c]) as undefined)()
  expect(await c.array()).toEqual([3])
})

it('refuses bad input by name', async () => {
  const p = fj.variable(fj.ones([2]), { name: 'p' })
  const argument = (part: RegExp) =>
    expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(part) })
  expect(() => new fj.optim.SGD([p, p])).toThrow(argument(/parameters 0 and 1 are the same variable 'p'/))
  expect(() => new fj.optim.SGD([])).toThrow(argument(/array of parameters/))
  expect(() => new fj.optim.SGD([p], { lr: -1 })).toThrow(argument(/lr is -1/))
  expect(() => new fj.optim.SGD([p], { lr: '0.1' as never })).toThrow(argument(/lr is '0.1'; expected a finite number/))
  expect(() => new fj.optim.SGD([p], 0.1 as never)).toThrow(argument(/SGD: options \{ lr, momentum, .* got 0.1/))
  for (const Kind of Object.values(fj.optim).filter((kind) => kind.prototype instanceof fj.optim.Optimizer)) {
    const make = Kind as unknown as new (parameters: fj.Variable[], options: object) => fj.optim.Optimizer
    expect(() => new make([p], { learningRate: 0.1 })).toThrow(argument(/unknown option 'learningRate'; expected lr/))
  }
  expect(() => new fj.optim.SGD(fj.ones([1]) as never)).toThrow(argument(/parameter 0 must be a variable, got Tensor/))
  expect(() => new fj.optim.SGD([p], { lr: Number.NaN })).toThrow(argument(/lr is NaN/))
  expect(() => new fj.optim.SGD([p], { nesterov: true })).toThrow(argument(/nesterov needs momentum/))
  expect(() => new fj.optim.Adam([p], { betas: [0.9, 1] })).toThrow(
    argument(/betas\[1\] is 1; expected a number in \[0, 1\)/),
  )
  const sgd = new fj.optim.SGD([p])
  expect(() => sgd.minimize(fj.sum(p))).toThrow(argument(/outside a compiled function/))
  const run = (body: () => void) => fj.compile(() => void body() as undefined)()
  await expect(run(() => sgd.minimize(p))).rejects.toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  await expect(run(() => sgd.minimize(fj.sum(fj.ones([2]))))).rejects.toThrow(argument(/depends on no parameter/))
  await expect(run(() => sgd.step([]))).rejects.toThrow(argument(/0 gradients for 1 parameters/))
  await expect(run(() => sgd.step([fj.ones([3])]))).rejects.toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
  const twice = () => {
    sgd.step([fj.ones([2])])
    sgd.step([fj.ones([2])])
  }
  await expect(run(twice)).rejects.toThrow(argument(/one step of an optimizer/))
  await expect(sgd.loadStateDict({})).rejects.toThrow(argument(/missing \[lr, step\]/))
  await expect(sgd.loadStateDict(null as never)).rejects.toThrow(argument(/SGD.loadStateDict: .* got null/))
  await expect(sgd.loadStateDict({ lr: 1 as never })).rejects.toThrow(
    argument(/loadStateDict: lr must be a tensor, got 1/),
  )
  expect(() => sgd.minimize(1 as never)).toThrow(argument(/SGD.minimize: loss must be a tensor, got 1/))
  expect(() => sgd.gradients(undefined as never)).toThrow(
    argument(/SGD.gradients: loss must be a tensor, got undefined/),
  )
  expect(() => sgd.step({} as never)).toThrow(argument(/SGD.step: gradients must be an array, got Object/))
})
