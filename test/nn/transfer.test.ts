import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { randomTensor } from '../helpers/compare.js'

const error = (code: string, part: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(part) })

class Net extends fj.nn.Module<[x: fj.Tensor]> {
  body = new fj.nn.Sequential(
    new fj.nn.Conv2d(1, 4, 3, { stride: 2 }),
    new fj.nn.BatchNorm2d(4),
    new fj.nn.ReLU(),
    new fj.nn.Flatten(),
  )
  head = new fj.nn.Linear(36, 5)

  override forward(x: fj.Tensor): fj.Tensor {
    return this.head.forward(this.body.forward(x))
  }
}

const data = fj.data.fromArrays({
  x: Float32Array.from({ length: 40 * 49 }, (_, i) => Math.sin(i * i)),
  y: Int32Array.from({ length: 40 }, (_, i) => i % 3),
  shape: [1, 7, 7],
  classes: 3,
})

const fitOnce = (model: Net, optimizer: fj.optim.Optimizer) =>
  fj.fit(model, data, { epochs: 2, batchSize: 10, optimizer, verbose: 0, seed: 1 })

describe('replaceHead', () => {
  it('puts a fresh layer in the place of the last linear one', async () => {
    const model = new Net()
    const old = model.head
    const head = fj.replaceHead(model, 3)
    expect(model.head).toBe(head)
    expect(model.forward(fj.zeros([2, 1, 7, 7])).shape).toEqual([2, 3])
    expect(Object.keys(await model.stateDict()).slice(-2)).toEqual(['head.weight', 'head.bias'])
    await expect(old.weight.data()).rejects.toThrow(error('ERR_DISPOSED', /./))
    expect(head.weight.state.name).toBe('head.weight')
  })

  it.each([
    ['alexnet2012', 'classifier.6'],
    ['googlenet', 'fc'],
    ['resnet18Cifar', 'fc'],
    ['mlp', 'layers.1'],
    ['lenet5', 'fc3'],
  ])('finds that of %s', (name, path) => {
    const model = fj.models.create(name)
    const head = fj.replaceHead(model, 7, { weightInit: fj.nn.init.zeros() })
    expect(model.namedModules().find(([, module]) => module === head)![0]).toBe(path)
    expect(head.outFeatures).toBe(7)
  })

  it('takes a path, keeps a missing bias, and replaces a shared layer everywhere', () => {
    const shared = new fj.nn.Linear(4, 4, { bias: false })
    const model = new fj.nn.Sequential(shared, new fj.nn.Sequential(shared), new fj.nn.Linear(4, 2))
    const head = fj.replaceHead(model, 4, { layer: '0' })
    expect(head.bias).toBeNull()
    expect(model.layers[0]).toBe(head)
    expect((model.layers[1] as fj.nn.Sequential).layers[0]).toBe(head)
    expect(model.forward(fj.ones([1, 4])).shape).toEqual([1, 2])
  })

  it('keeps the memory of a variable that another layer shares', async () => {
    class Tied extends fj.nn.Module<[x: fj.Tensor]> {
      table = new fj.nn.Embedding(6, 4)
      head = new fj.nn.Linear(4, 6, { bias: false })
      override forward(x: fj.Tensor) {
        return this.head.forward(this.table.forward(x))
      }
    }
    const tied = new Tied()
    tied.head.weight = tied.table.weight
    fj.replaceHead(tied, 3)
    expect((await tied.table.weight.data()).length).toBe(24)
  })

  it('says what linear layers there are', () => {
    expect(() => fj.replaceHead(new Net(), 3, { layer: 'body.0' })).toThrow(
      error('ERR_ARGUMENT', /Net has no linear layer 'body\.0'[\s\S]*its linear layers are head/),
    )
    expect(() => fj.replaceHead(fj.models.haykin(), 3)).toThrow(
      error('ERR_ARGUMENT', /Haykin has no linear layer in it/),
    )
    expect(() => fj.replaceHead(new Net(), 0)).toThrow(error('ERR_ARGUMENT', /classes 0; expected an integer from 1/))
  })
})

it('moves a body from a file to a network with another head', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'forja-transfer-'))
  try {
    const path = join(folder, 'body.safetensors')
    const [from, to] = [new Net(), new Net()]
    await fj.save(from, path)
    await fj.load(to, path)
    fj.replaceHead(to, 3)
    const x = randomTensor([2, 1, 7, 7], 1)
    expect(await to.body.eval().forward(x).data()).toEqual(await from.body.eval().forward(x).data())
    // The other way round: the file's head does not fit and is named.
    await expect(fj.load(to, path, { strict: false })).rejects.toThrow(
      error('ERR_SHAPE', /'head\.weight' has shape \(5, 36\), the model's \(3, 36\)/),
    )
    const { 'head.weight': _, 'head.bias': __, ...body } = await from.stateDict()
    expect(await to.loadStateDict(body, { strict: false })).toEqual({
      missing: ['head.weight', 'head.bias'],
      unexpected: [],
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})

describe('a frozen body', () => {
  const state = async (model: Net) => {
    const values: Record<string, number[]> = {}
    for (const [name, value] of Object.entries(await model.stateDict())) {
      values[name] = [...((await value.data()) as Float32Array)]
    }
    return values
  }
  const changed = (before: Record<string, number[]>, after: Record<string, number[]>) =>
    Object.keys(before).filter((name) => before[name]!.some((value, i) => value !== after[name]![i]))

  it('keeps its weights; batch normalisation in training mode goes on, as in PyTorch', async () => {
    const model = new Net()
    fj.replaceHead(model, 3)
    model.body.freeze()
    const before = await state(model)
    await fitOnce(model, new fj.optim.SGD(model.parameters(), { lr: 0.1, weightDecay: 0.1 }))
    expect(changed(before, await state(model))).toEqual([
      'body.1.running_mean',
      'body.1.running_var',
      'body.1.num_batches_tracked',
      'head.weight',
      'head.bias',
    ])
  })

  it('in eval() keeps its statistics too, and uses them in training', async () => {
    const model = new Net()
    fj.replaceHead(model, 3)
    await model.body.loadStateDict({ '1.running_mean': fj.full([4], 100) }, { strict: false })
    model.body.freeze().eval()
    const before = await state(model)
    await fitOnce(model, new fj.optim.SGD(model.parameters(), { lr: 0.1 }))
    // With a mean of 100 the ReLU passes nothing: only the bias learns.
    expect(changed(before, await state(model))).toEqual(['head.bias'])
    expect(model.body.training).toBe(false)
    expect(model.training).toBe(true)
  })

  it('learns again when unfrozen, slower than the head where its group says so', async () => {
    const model = new Net()
    fj.replaceHead(model, 3)
    model.body.freeze()
    model.unfreeze()
    const before = await state(model)
    const groups = [{ params: model.body.parameters(), lr: 1e-4 }, { params: model.head.parameters() }]
    await fitOnce(model, new fj.optim.SGD(groups, { lr: 0.1 }))
    const after = await state(model)
    const moved = (name: string) => Math.max(...before[name]!.map((value, i) => Math.abs(value - after[name]![i]!)))
    expect(moved('body.0.weight')).toBeGreaterThan(0)
    expect(moved('body.0.weight')).toBeLessThan(moved('head.weight') / 20)
  })
})
