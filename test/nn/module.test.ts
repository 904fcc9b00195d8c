import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose, randomTensor } from '../helpers/compare.js'

class Block extends fj.nn.Module {
  first: fj.nn.Linear
  scale = fj.variable(fj.ones([3]))

  constructor(inputs: number) {
    super()
    this.first = new fj.nn.Linear(inputs, 3)
  }

  override forward(x: fj.Tensor): fj.Tensor {
    return fj.mul(this.first.forward(x), this.scale)
  }
}

class Net extends fj.nn.Module {
  blocks = [new Block(4), new Block(3)]
  count = fj.variable(fj.zeros([]), { name: 'steps_done', buffer: true })
  head = new fj.nn.Sequential(new fj.nn.ReLU(), new fj.nn.Linear(3, 2, { bias: false }))

  override forward(x: fj.Tensor): fj.Tensor {
    for (const block of this.blocks) x = block.forward(x)
    return this.head.forward(x)
  }
}

const NAMES = [
  'steps_done',
  'blocks.0.scale',
  'blocks.0.first.weight',
  'blocks.0.first.bias',
  'blocks.1.scale',
  'blocks.1.first.weight',
  'blocks.1.first.bias',
  'head.1.weight',
]

const code = (value: string) => expect.objectContaining({ code: value })

describe('names', () => {
  it('follow fields, arrays and given names, own variables first', async () => {
    const net = new Net()
    expect(net.namedVariables().map(([name]) => name)).toEqual(NAMES)
    expect(Object.keys(await net.stateDict())).toEqual(NAMES)
    expect(net.namedParameters().map(([name]) => name)).toEqual(NAMES.slice(1))
    expect(net.namedBuffers().map(([name]) => name)).toEqual(['steps_done'])
    expect(net.namedModules().map(([name]) => name)).toEqual([
      '',
      'blocks.0',
      'blocks.0.first',
      'blocks.1',
      'blocks.1.first',
      'head',
      'head.0',
      'head.1',
    ])
  })

  it('follow the keys of objects, which may be in arrays and hold themselves', async () => {
    class Experts extends fj.nn.Module {
      branches = { left: new fj.nn.Linear(2, 1, { bias: false }), right: [new Block(2)] }
      settings: Record<string, unknown> = { rate: 0.1, name: 'experts', none: null }

      override forward(x: fj.Tensor): fj.Tensor {
        return fj.add(this.branches.left.forward(x), this.branches.right[0]!.forward(x))
      }
    }
    const net = new Experts()
    net.settings.self = net.settings
    const names = ['branches.left.weight', 'branches.right.0.scale', 'branches.right.0.first.weight']
    expect(net.namedParameters().map(([name]) => name)).toEqual([...names, 'branches.right.0.first.bias'])
    expect(() => net.forward(fj.ones([1, 3]))).toThrowError(/matmul \(branches\.left\)/)
    fj.replaceHead(net, 5, { layer: 'branches.left' })
    expect(net.branches.left.weight.shape).toEqual([5, 2])
  })

  it('list a shared parameter once and both its names in the state', () => {
    class Tied extends fj.nn.Module {
      a = new fj.nn.Linear(3, 3)
      b = new fj.nn.Linear(3, 3)
      override forward(x: fj.Tensor) {
        return this.b.forward(this.a.forward(x))
      }
    }
    const tied = new Tied()
    tied.b.weight = tied.a.weight
    expect(tied.namedParameters().map(([name]) => name)).toEqual(['a.weight', 'a.bias', 'b.bias'])
    expect(tied.namedVariables().map(([name]) => name)).toEqual(['a.weight', 'a.bias', 'b.weight', 'b.bias'])
    expect(tied.summary({ input: [3] }).parameters).toBe(15)
  })

  it('survive a child that knows its parent', () => {
    class Child extends fj.nn.Module {
      w = fj.variable(fj.ones([1]))
      constructor(readonly parent: fj.nn.Module) {
        super()
      }
      override forward(x: fj.Tensor) {
        return fj.mul(x, this.w)
      }
    }
    class Parent extends fj.nn.Module {
      child = new Child(this)
      override forward(x: fj.Tensor) {
        return this.child.forward(x)
      }
    }
    expect(new Parent().namedParameters().map(([name]) => name)).toEqual(['child.w'])
  })

  it('must differ', () => {
    class Twice extends fj.nn.Module {
      a = fj.variable(fj.ones([1]), { name: 'w' })
      b = fj.variable(fj.ones([1]), { name: 'w' })
      override forward(x: fj.Tensor) {
        return x
      }
    }
    expect(() => new Twice().parameters()).toThrow(/two variables called 'w'/)
  })
})

describe('errors of operations', () => {
  it('name the layer from the outermost module on, and the variable', () => {
    expect(() => new Net().forward(fj.zeros([2, 5]))).toThrow(
      /^matmul \(blocks\.0\.first\): inner dimensions differ: 5 ≠ 4[\s\S]*variable 'blocks\.0\.first\.weight'/,
    )
  })

  it('name a layer of a nested Sequential', () => {
    const inner = new fj.nn.Sequential(new fj.nn.ReLU(), new fj.nn.Linear(4, 3))
    const net = new fj.nn.Sequential(new fj.nn.Linear(2, 3), inner)
    expect(() => net.forward(fj.zeros([1, 2]))).toThrow(/^matmul \(1\.1\)/)
    // The way out of a failed call is clean: the next error has its own path.
    expect(() => inner.forward(fj.zeros([1, 2]))).toThrow(/^matmul \(1\)/)
    expect(() => fj.matmul(fj.zeros([1, 2]), fj.zeros([3, 1]))).toThrow(/^matmul: /)
  })

  it('name a grandchild called directly, and a layer outside by its type', () => {
    const stray = new fj.nn.Linear(7, 7)
    class Skips extends fj.nn.Module {
      block = new Block(4)
      override forward(x: fj.Tensor, useStray?: fj.Tensor) {
        return useStray ? stray.forward(x) : this.block.first.forward(x)
      }
    }
    expect(() => new Skips().forward(fj.zeros([1, 2]))).toThrow(/^matmul \(block\.first\)/)
    expect(() => new Skips().forward(fj.zeros([1, 2]), fj.zeros([]))).toThrow(/^matmul \(Linear\)/)
  })

  it('say where forward() is missing', () => {
    const Bare = class Bare extends (fj.nn.Module as unknown as new () => object) {}
    expect(() => new Bare()).toThrow(/Bare needs a method forward\(\)/)
  })
})

describe('state', () => {
  it('moves between modules and stays as it was read', async () => {
    fj.setSeed(1)
    const [from, to] = [new Net(), new Net()]
    const x = randomTensor([5, 4], 3)
    const expected = await from.forward(x).data()
    const state = await from.stateDict()
    await from.blocks[0]!.scale.assign(fj.zeros([3]))
    expect(await to.loadStateDict(state)).toEqual({ missing: [], unexpected: [] })
    expectClose(await to.forward(x).data(), expected, 'output', { rtol: 1e-6 })
    expect(Array.from(await from.blocks[0]!.scale.data())).toEqual([0, 0, 0])
  })

  it('keeps the axes of weights that lie otherwise in memory', async () => {
    const conv = new fj.nn.Conv2d(2, 3, [1, 4])
    const weight = randomTensor([3, 2, 1, 4], 9)
    await conv.loadStateDict({ weight, bias: fj.zeros([3]) })
    const state = await conv.stateDict()
    expect(state.weight!.shape).toEqual([3, 2, 1, 4])
    expect(await state.weight!.data()).toEqual(await weight.data())
    expect(await conv.weight.data()).toEqual(await weight.data())
    expect(conv.weight.storage.shape).toEqual([1, 4, 2, 3])
  })

  it('is refused where names, shapes or dtypes differ, and nothing changes', async () => {
    const net = new Net()
    const before = await net.stateDict()
    const { 'head.1.weight': weight, ...rest } = before
    const changed = { ...rest, steps_done: fj.ones([]) }
    await expect(net.loadStateDict({ ...changed, 'top.weight': weight! })).rejects.toThrow(
      /names do not agree; 1 missing: head\.1\.weight; 1 unexpected: top\.weight/,
    )
    await expect(net.loadStateDict(changed)).rejects.toThrow(code('ERR_ARGUMENT'))
    await expect(net.loadStateDict({ ...changed, 'head.1.weight': fj.zeros([3, 2]) })).rejects.toThrow(
      code('ERR_SHAPE'),
    )
    await expect(net.loadStateDict({ ...changed, 'head.1.weight': fj.zeros([3, 2]) })).rejects.toThrow(
      /'head\.1\.weight' has shape \(3, 2\), the model's \(2, 3\)/,
    )
    await expect(
      net.loadStateDict({ ...changed, 'head.1.weight': fj.zeros([2, 3], { dtype: 'int32' }) }),
    ).rejects.toThrow(code('ERR_DTYPE'))
    await expect(net.loadStateDict(null as never)).rejects.toThrow(code('ERR_ARGUMENT'))
    expect(await net.count.item()).toBe(0)
  })

  it('may lack names with strict: false, but not fit badly', async () => {
    const net = new Net()
    const report = await net.loadStateDict({ steps_done: fj.ones([]), other: fj.ones([]) }, { strict: false })
    expect(report).toEqual({ missing: NAMES.slice(1), unexpected: ['other'] })
    expect(await net.count.item()).toBe(1)
    await expect(net.loadStateDict({ steps_done: fj.ones([2]) }, { strict: false })).rejects.toThrow(code('ERR_SHAPE'))
  })
})

describe('modes', () => {
  it('reach every layer', () => {
    const net = new Net()
    expect(net.eval()).toBe(net)
    expect(net.namedModules().some(([, module]) => module.training)).toBe(false)
    net.blocks[1]!.train()
    expect(net.namedModules().map(([, module]) => module.training)).toEqual([
      false,
      false,
      false,
      true,
      true,
      false,
      false,
      false,
    ])
  })

  it('freeze parameters, not buffers back to life', () => {
    const net = new Net()
    net.blocks[0]!.freeze()
    expect(net.parameters().map((p) => p.trainable)).toEqual([false, false, false, true, true, true, true])
    expect(net.parameters().length).toBe(7)
    net.freeze().unfreeze()
    expect(net.parameters().every((p) => p.trainable)).toBe(true)
    expect(net.count.trainable).toBe(false)
  })

  it('disposes variables', async () => {
    const net = new Net()
    net.dispose()
    await expect(net.stateDict()).rejects.toThrow(code('ERR_DISPOSED'))
  })
})
