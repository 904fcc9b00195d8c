import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { encodePng } from '../../lib/io/png.js'
import { crc32c, frameRecord, maskedCrc32c } from '../../lib/tensorboard/crc32c.js'
import { encodeEvent } from '../../lib/tensorboard/messages.js'
import { network, waves } from '../helpers/training.js'
import { crcBitwise, maskBitwise, readEvents } from './reader.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-tensorboard-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const bytes = (text: string) => Buffer.from(text, 'latin1')
const hex = (data: Uint8Array) => Buffer.from(data).toString('hex')

describe('records', () => {
  it('CRC-32C: the check value of the catalogue, RFC 3720 (B.4), and its masked form', () => {
    expect(crc32c(bytes('123456789'))).toBe(0xe3069283)
    expect(maskedCrc32c(bytes('123456789'))).toBe(0xc78ab0e5)
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e)
    expect(crc32c(new Uint8Array())).toBe(0)
    for (const length of [1, 7, 31, 33, 127]) {
      const data = Uint8Array.from({ length }, (_, i) => (i * 97 + length) % 256)
      expect(crc32c(data)).toBe(crcBitwise(data))
      expect(maskedCrc32c(data)).toBe(maskBitwise(crcBitwise(data)))
    }
  })

  it('the bytes that TensorBoard’s own writer makes of two events', () => {
    expect(hex(frameRecord(encodeEvent({ wallTime: 1, fileVersion: 'brain.Event:2' })))).toBe(
      '1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a',
    )
    const summary = { value: [{ tag: 'loss', simpleValue: 0.5 }] }
    expect(hex(frameRecord(encodeEvent({ wallTime: 2, step: 7, summary })))).toBe(
      '1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f7373150000003fc33fc24a',
    )
  })
})

describe('TensorBoardWriter', () => {
  it('scalars, in order, behind the version', async () => {
    const dir = join(folder, 'scalars')
    const before = Date.now() / 1000
    const writer = new fj.TensorBoardWriter(dir)
    // Not awaited one by one: they are written in their order all the same.
    await Promise.all([1, 2, 3].map((step) => writer.addScalar('loss', 1 / step, step)))
    await writer.addScalar('größe', Number.NaN, 2 ** 40)
    await writer.close()
    const [name] = readdirSync(dir)
    expect(name).toMatch(/^events\.out\.tfevents\.\d{10}\..+\.\d+\.\d+$/)
    const events = readEvents(join(dir, name!))
    expect(events[0]).toMatchObject({ version: 'brain.Event:2', step: 0 })
    expect(events.slice(1).map(({ tag, scalar, step }) => [tag, scalar, step])).toEqual([
      ['loss', 1, 1],
      ['loss', 0.5, 2],
      ['loss', Math.fround(1 / 3), 3],
      ['größe', Number.NaN, 2 ** 40],
    ])
    for (const { wallTime } of events) expect(wallTime).toBeGreaterThanOrEqual(before)
  })

  it('histograms of arrays and tensors', async () => {
    const writer = new fj.TensorBoardWriter(join(folder, 'histograms'))
    await writer.addHistogram('a', [0, 1, 1, 4, Number.NaN, Number.POSITIVE_INFINITY], 1, 4)
    await writer.addHistogram('b', fj.full([3, 2], 2), 2)
    await writer.addHistogram('none', [Number.NaN], 3)
    await writer.addHistogram('many', fj.randn([1000]), 4)
    await writer.close()
    const [, a, b, none, many] = readEvents(writer.path)
    expect(a!.histogram).toEqual({
      min: 0,
      max: 4,
      num: 4,
      sum: 6,
      squares: 18,
      limits: [1, 2, 3, 4],
      counts: [1, 2, 0, 1],
    })
    expect(b!.histogram).toEqual({ min: 2, max: 2, num: 6, sum: 12, squares: 24, limits: [2], counts: [6] })
    expect(none!.histogram!.num).toBe(0)
    expect(many!.histogram!.limits).toHaveLength(30)
    expect(many!.histogram!.counts.reduce((x, y) => x + y)).toBe(1000)
    expect(many!.histogram!.squares).toBeGreaterThan(800)
  })

  it('images that another decoder reads', async (context) => {
    const sharp = await import('sharp').then(
      (module) => module.default,
      () => undefined,
    )
    if (sharp === undefined) return context.skip('sharp, which is optional, is not installed')
    const writer = new fj.TensorBoardWriter(join(folder, 'images'))
    const colours = Uint8Array.from({ length: 3 * 5 * 7 }, (_, i) => (i * 37) % 256) // (C, H, W)
    await writer.addImage('colours', fj.tensor(colours, { shape: [3, 5, 7] }), 1)
    await writer.addImage('grey', fj.tensor([[0, 0.5, 1, 2, -1]]), 2)
    await writer.close()
    const [, first, second] = readEvents(writer.path)
    expect(first!.image).toMatchObject({ height: 5, width: 7, colorspace: 3 })
    const decoded = await sharp(first!.image!.png).raw().toBuffer()
    const expected = Array.from({ length: 5 * 7 * 3 }, (_, i) => colours[(i % 3) * 35 + Math.floor(i / 3)])
    expect([...decoded]).toEqual(expected)
    expect(second!.image).toMatchObject({ height: 1, width: 5, colorspace: 1 })
    expect([...(await sharp(second!.image!.png).toColourspace('b-w').raw().toBuffer())]).toEqual([0, 128, 255, 255, 0])
    for (const channels of [1, 2, 3, 4]) {
      const meta = await sharp(encodePng(new Uint8Array(6 * channels), 2, 3, channels)).metadata()
      expect(meta).toMatchObject({ format: 'png', width: 3, height: 2, channels })
    }
  })

  it('a graph: layers as boxes, every input a node that is there', async () => {
    const writer = new fj.TensorBoardWriter(join(folder, 'graph'))
    await writer.addGraph(network().forward(fj.zeros([1, 1, 4, 4])))
    await writer.close()
    const nodes = readEvents(writer.path)[1]!.graph!
    const names = nodes.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const { inputs } of nodes) for (const input of inputs) expect(names).toContain(input.replace(/:\d+$/, ''))
    expect(names).toEqual(expect.arrayContaining(['0/weight', '0/conv2d', '2/relu', '5/weight', '5/bias']))
    expect(nodes.find(({ name }) => name === '0/weight')!.op).toBe('Variable')
    for (const name of names) expect(name).toMatch(/^[\w][\w./-]*$/)
  })

  it('says what is wrong', async () => {
    const writer = new fj.TensorBoardWriter(join(folder, 'bad'))
    await expect(writer.addImage('x', fj.zeros([5, 2, 2]), 1)).rejects.toThrow(
      "addImage: 'x' has shape (5, 2, 2); expected (H, W) or (C, H, W) with 1 to 4 channels",
    )
    await expect(writer.addScalar('', 1, 1)).rejects.toThrow("tag ''; expected a name")
    await expect(writer.addScalar('x', '1' as never, 1)).rejects.toThrow("value '1' of 'x'; expected a number")
    await expect(writer.addGraph([null] as never)).rejects.toThrow('addGraph: outputs[0] must be a tensor, got null')
    await expect(writer.addImage('x', 3 as never, 1)).rejects.toThrow('addImage: image must be a tensor, got 3')
    await expect(writer.addHistogram('x', [1, 2], 1, 2 ** 32)).rejects.toThrow(
      'addHistogram: bins 4294967296; expected',
    )
    await expect(writer.addScalar('x', 1, 0.5)).rejects.toThrow("step 0.5 of 'x'; expected an integer")
    await expect(writer.addHistogram('x', [1], 1, 0)).rejects.toThrow('bins 0; expected an integer from 1')
    await writer.close()
    await writer.close()
    await expect(writer.addScalar('x', 1, 1)).rejects.toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }))
    writeFileSync(join(folder, 'file'), '')
    expect(() => new fj.TensorBoardWriter(join(folder, 'file', 'x'))).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(/cannot be written/) }),
    )
    expect(() => new fj.TensorBoardWriter('')).toThrow('expected the path of a folder')
    const gone = new fj.TensorBoardWriter(join(folder, 'gone'))
    await gone.flush()
    rmSync(join(folder, 'gone'), { recursive: true })
    await expect(gone.addScalar('x', 1, 1)).rejects.toThrow(/cannot be written: ENOENT/)
  })
})

it('the callback writes training and validation as two runs', async () => {
  const model = network()
  const logDir = join(folder, 'fit')
  await fj.fit(model, waves, {
    optimizer: new fj.optim.SGD(model.parameters(), { lr: 0.05 }),
    epochs: 2,
    batchSize: 10,
    validation: waves,
    metrics: ['accuracy'],
    verbose: 0,
    callbacks: [fj.callbacks.tensorBoard({ logDir, histogramFreq: 2, updateFreq: 3 })],
  })
  expect(readdirSync(logDir).sort()).toEqual(['train', 'validation'])
  const read = (run: string) => readEvents(join(logDir, run, readdirSync(join(logDir, run))[0]!))
  const train = read('train')
  expect(train[1]!.graph!.length).toBeGreaterThan(6)
  const tags = (events: ReturnType<typeof read>) => events.filter((e) => e.tag).map((e) => `${e.tag} ${e.step}`)
  expect(tags(train).filter((tag) => /^(batch|epoch)_/.test(tag))).toEqual([
    'batch_loss 3',
    'batch_accuracy 3',
    ...['loss', 'accuracy', 'learning_rate'].map((name) => `epoch_${name} 1`),
    'batch_loss 6',
    'batch_accuracy 6',
    ...['loss', 'accuracy', 'learning_rate'].map((name) => `epoch_${name} 2`),
  ])
  expect(train.filter((e) => e.histogram).map((e) => e.tag)).toContain('0/weight')
  expect(tags(read('validation'))).toEqual([1, 2].flatMap((n) => [`epoch_loss ${n}`, `epoch_accuracy ${n}`]))
})
