import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { decodeSafetensors, encodeSafetensors } from '../../lib/io/safetensors.js'
import { waves as dataset, everything, network } from '../helpers/training.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-checkpoint-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'run.safetensors')

const options = { batchSize: 9, seed: 5, verbose: 0 } as const

const MAKERS: [string, (p: fj.Variable[]) => fj.optim.Optimizer][] = [
  ['SGD', (p) => new fj.optim.SGD(p, { lr: 0.05, momentum: 0.9 })],
  ['Adam', (p) => new fj.optim.Adam(p, { lr: 0.01, amsgrad: true })],
  ['NAdam', (p) => new fj.optim.NAdam(p)],
]

it.each(MAKERS)('a run resumed with %s equals one that never stopped, dropout included', async (_name, make) => {
  const whole = network()
  const history = await fj.fit(whole, dataset, { ...options, optimizer: make(whole.parameters()), epochs: 4 })

  const first = network()
  const optimizer = make(first.parameters())
  await fj.fit(first, dataset, { ...options, optimizer, epochs: 2 })
  await fj.saveCheckpoint(path, { model: first, optimizer, epoch: 2, metadata: { note: 'half' } })

  fj.setSeed(99) // another process
  const second = network()
  fj.setSeed(98)
  const next = make(second.parameters())
  const { epoch, metadata } = await fj.loadCheckpoint(path, { model: second, optimizer: next })
  expect(epoch).toBe(2)
  expect(metadata).toMatchObject({ note: 'half', format: 'pt' })
  const rest = await fj.fit(second, dataset, { ...options, optimizer: next, epochs: 4, initialEpoch: epoch })
  expect(rest.loss).toEqual(history.loss.slice(2))
  expect(await everything(second)).toEqual(await everything(whole))
})

it('the same seed gives the same weights, dropout included; every epoch drops others', async () => {
  const run = async (seed: number) => {
    const model = network()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0 })
    const history = await fj.fit(model, dataset, { ...options, optimizer, epochs: 2, seed, shuffle: false })
    return history.loss
  }
  const first = await run(1)
  expect(await run(1)).toEqual(first)
  expect(await run(2)).not.toEqual(first)
  expect(first[0]).not.toBe(first[1]) // nothing is learned: only dropout differs
})

it('load() reads the network of a checkpoint; other files are no checkpoints', async () => {
  const model = network()
  const optimizer = new fj.optim.Adam(model.parameters())
  await fj.saveCheckpoint(path, { model, optimizer, epoch: 1 })
  const other = network()
  expect(await fj.load(other, path)).toEqual({ missing: [], unexpected: [] })
  const sgd = new fj.optim.SGD(other.parameters())
  await expect(fj.loadCheckpoint(path, { model: other, optimizer: sgd })).rejects.toThrow(/written with Adam, not SGD/)
  await fj.save(model, path)
  await expect(fj.loadCheckpoint(path, { model: other, optimizer })).rejects.toThrow(
    expect.objectContaining({ code: 'ERR_FORMAT', message: expect.stringMatching(/no state of a training run/) }),
  )
  writeFileSync(path, readFileSync(path).subarray(0, 100))
  await expect(fj.loadCheckpoint(path, { model: other, optimizer })).rejects.toThrow(
    expect.objectContaining({ code: 'ERR_FORMAT' }),
  )
})

it.each([
  ['forja.schedule', 'null', /not whole/],
  ['forja.schedule', '[1]', /not whole/],
  ['forja.schedule', '{"steps":"1","baseLr":0.1}', /StepLR.loadStateDict: steps '1'; expected an integer from 0/],
  ['forja.run', 'null', /not whole/],
  ['forja.run', '{"seed":1.5}', /not whole/],
  ['forja.run', '{"seed":1,"score":{}}', /not whole/],
  ['forja.run', '{"seed":1,"score":{"samples":1,"loss":1,"sums":{"accuracy":null}}}', /not whole/],
  ['forja.run', '{"seed":1,"callbacks":[{"name":"a","state":1}]}', /not whole/],
])('%s %s is an error, and changes no weight', async (name, text, message) => {
  const [model, other] = [network(), network()]
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
  const schedule = new fj.schedule.StepLR(optimizer, { stepSize: 2 })
  await fj.saveCheckpoint(path, { model, optimizer, schedule, epoch: 1 })
  const { tensors, metadata } = decodeSafetensors(readFileSync(path), path)
  writeFileSync(path, Buffer.concat(encodeSafetensors(tensors, { ...metadata, [name]: text })))
  const before = await everything(other)
  const sgd = new fj.optim.SGD(other.parameters(), { lr: 0.1 })
  const given = { model: other, optimizer: sgd, schedule: new fj.schedule.StepLR(sgd, { stepSize: 2 }) }
  await expect(fj.loadCheckpoint(path, given)).rejects.toThrow(message)
  expect(await everything(other)).toEqual(before)
  expect([sgd.lr, given.schedule.stateDict()]).toEqual([0.1, { steps: 0, baseLr: 0.1 }])
})

it('wants a model, an optimizer and whole numbers', async () => {
  const model = network()
  const optimizer = new fj.optim.SGD(model.parameters())
  const save = (options: object) => fj.saveCheckpoint(path, { model, optimizer, epoch: 0, ...options })
  await expect(save({ model: undefined })).rejects.toThrow('saveCheckpoint: model must be a Module, got undefined')
  await expect(save({ optimizer: 'sgd' })).rejects.toThrow("saveCheckpoint: optimizer must be an Optimizer, got 'sgd'")
  await expect(save({ epoch: Number.NaN })).rejects.toThrow('saveCheckpoint: epoch NaN; expected an integer from 0')
  await expect(fj.save(null as never, path)).rejects.toThrow('save: model must be a Module, got null')
  await expect(fj.load({} as never, path)).rejects.toThrow('load: model must be a Module, got Object')
})
