import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { decodeSafetensors, encodeSafetensors } from '../../lib/io/safetensors.js'
import { randomTensor } from '../helpers/compare.js'

const code = (value: string) => expect.objectContaining({ code: value })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'forja-model-'))
})
afterAll(() => rm(folder, { recursive: true }))

function network() {
  return new fj.nn.Sequential(
    new fj.nn.Conv2d(2, 4, 3),
    new fj.nn.BatchNorm2d(4),
    new fj.nn.ReLU(),
    new fj.nn.Flatten(),
    new fj.nn.Linear(16, 3),
  )
}

it('gives the same network back, in PyTorch’s names and layouts', async () => {
  const path = join(folder, 'round.safetensors')
  const [from, to] = [network().eval(), network().eval()]
  const x = randomTensor([2, 2, 4, 4], 1)
  await fj.save(from, path, { metadata: { epoch: '3' } })
  expect(await fj.load(to, path)).toEqual({ missing: [], unexpected: [] })
  expect(await to.forward(x).data()).toEqual(await from.forward(x).data())
  expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([])

  const { tensors, metadata } = decodeSafetensors(await readFile(path), path)
  expect(metadata).toEqual({ format: 'pt', producer: 'forja', architecture: 'Sequential', epoch: '3' })
  expect(Object.fromEntries([...tensors].map(([name, { shape, dtype }]) => [name, `${dtype} ${shape}`]))).toEqual({
    '0.weight': 'float32 4,2,3,3',
    '0.bias': 'float32 4',
    '1.weight': 'float32 4',
    '1.bias': 'float32 4',
    '1.running_mean': 'float32 4',
    '1.running_var': 'float32 4',
    '1.num_batches_tracked': 'int32 ',
    '4.weight': 'float32 3,16',
    '4.bias': 'float32 3',
  })
  expect(tensors.get('0.weight')!.data).toEqual(await from.namedVariables()[0]![1].data())
})

it('reads a file that PyTorch wrote: its count of batches has 64 bits', async () => {
  const path = join(folder, 'torch.safetensors')
  await fj.save(network(), path)
  const file = decodeSafetensors(await readFile(path), path)
  const bytes = Buffer.concat(encodeSafetensors(file.tensors))
  const headerBytes = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes))
  // Replaces the 4 bytes of the count by 8, at the end of the file.
  const name = '1.num_batches_tracked'
  const [begin] = header[name].data_offsets as [number, number]
  for (const entry of Object.values(header) as { data_offsets: number[] }[]) {
    if (entry.data_offsets[0]! > begin) entry.data_offsets = entry.data_offsets.map((offset) => offset - 4)
  }
  const data = Buffer.concat([
    bytes.subarray(8 + headerBytes, 8 + headerBytes + begin),
    bytes.subarray(8 + headerBytes + begin + 4),
    Buffer.from(BigInt64Array.of(17n).buffer),
  ])
  header[name] = { dtype: 'I64', shape: [], data_offsets: [data.length - 8, data.length] }
  const json = Buffer.from(JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(json.length))
  await writeFile(path, Buffer.concat([size, json, data]))
  const net = network()
  await fj.load(net, path)
  expect(await (net.layers[1] as fj.nn.BatchNorm2d).numBatchesTracked!.item()).toBe(17)
})

it('refuses another network, naming both, and loads what fits with strict: false', async () => {
  const path = join(folder, 'lenet5.safetensors')
  await fj.save(fj.models.lenet5(), path)
  await expect(fj.load(fj.models.mlp(), path)).rejects.toThrow(code('ERR_ARGUMENT'))
  await expect(fj.load(fj.models.mlp(), path)).rejects.toThrow(
    /lenet5\.safetensors: names do not agree; 4 missing: layers\.0\.weight[\s\S]*hint {2}the file holds a LeNet5, the model is a MLP/,
  )
  const hundred = fj.models.lenet5({ classes: 100 })
  const before = await hundred.fc1.weight.data()
  await expect(fj.load(hundred, path)).rejects.toThrow(code('ERR_SHAPE'))
  await expect(fj.load(hundred, path, { strict: false })).rejects.toThrow(
    /'fc3\.weight' has shape \(10, 84\), the model's \(100, 84\), 'fc3\.bias' has shape \(10,\)/,
  )
  expect(await hundred.fc1.weight.data()).toEqual(before)
  const partial = new fj.nn.Sequential(new fj.nn.Linear(2, 2))
  const report = await fj.load(partial, path, { strict: false })
  expect(report.missing).toEqual(['0.weight', '0.bias'])
  expect(report.unexpected.length).toBe(10)
})

it('says what is wrong with a broken or absent file', async () => {
  const path = join(folder, 'broken.safetensors')
  await fj.save(fj.models.softmaxRegression(), path)
  const bytes = await readFile(path)
  await writeFile(path, bytes.subarray(0, bytes.length - 3))
  await expect(fj.load(fj.models.softmaxRegression(), path)).rejects.toThrow(code('ERR_FORMAT'))
  await writeFile(path, 'PK\u0003\u0004 this is a torch file')
  await expect(fj.load(fj.models.softmaxRegression(), path)).rejects.toThrow(code('ERR_FORMAT'))
  await expect(fj.load(fj.models.softmaxRegression(), join(folder, 'none'))).rejects.toThrow(code('ERR_ARGUMENT'))
  await expect(fj.save(fj.models.softmaxRegression(), join(folder, 'no', 'where'))).rejects.toThrow(
    code('ERR_ARGUMENT'),
  )
})
