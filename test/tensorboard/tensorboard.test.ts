/** TensorBoard itself reads what is written: its reader of event files, and the server that its pages ask. */
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { network, waves } from '../helpers/training.js'

const python = process.env.FORJA_PYTHON ?? 'python3'
const run = promisify(execFile)
const missing = await run(python, ['-c', 'import tensorboard']).then(
  () => undefined,
  () =>
    `TensorBoard itself is not asked: ${python} has none (pip install tensorboard, FORJA_PYTHON=the Python that has it)`,
)
if (missing !== undefined) console.warn(missing)

const folder = mkdtempSync(join(tmpdir(), 'forja-tensorboard-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const picture = Uint8Array.from({ length: 3 * 5 * 7 }, (_, i) => (i * 37) % 256) // (C, H, W)
let history: fj.History
let weight: number[]

beforeAll(async () => {
  if (missing !== undefined) return
  const model = network()
  history = await fj.fit(model, waves, {
    optimizer: new fj.optim.SGD(model.parameters(), { lr: 0.05 }),
    epochs: 3,
    batchSize: 10,
    validation: waves,
    metrics: ['accuracy'],
    verbose: 0,
    callbacks: [fj.callbacks.tensorBoard({ logDir: folder, histogramFreq: 1, updateFreq: 2 })],
  })
  weight = [...(await model.parameters()[0]!.data())]
  await using writer = new fj.TensorBoardWriter(join(folder, 'train'))
  await writer.addImage('picture', fj.tensor(picture, { shape: [3, 5, 7] }), 3)
})

/** A run's scalars as [step, value] by tag, its histograms, images and graph, as TensorBoard's own reader gives them. */
const READ = `
import io, json, sys
import numpy
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
run = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0, 'images': 0})
run.Reload()
tags = run.Tags()
figures = ['min', 'max', 'num', 'sum', 'sum_squares', 'bucket_limit', 'bucket']
histogram = lambda event: [event.step, *(getattr(event.histogram_value, name) for name in figures)]
image = lambda event: numpy.asarray(Image.open(io.BytesIO(event.encoded_image_string))).tolist()
print(json.dumps({
  'scalars': {tag: [[e.step, e.value] for e in run.Scalars(tag)] for tag in tags['scalars']},
  'histograms': {tag: [histogram(e) for e in run.Histograms(tag)] for tag in tags['histograms']},
  'images': {tag: [image(e) for e in run.Images(tag)] for tag in tags['images']},
  'nodes': [node.name for node in run.Graph().node] if tags['graph'] else [],
}))
`

/** [step, value], values being float32 in the file. */
const points = (values: readonly number[]) => values.map((value, i) => [i + 1, Math.fround(value)])

it.skipIf(missing !== undefined)('TensorBoard’s reader finds every scalar, histogram, image and node', async () => {
  const read = async (name: string) => JSON.parse((await run(python, ['-c', READ, join(folder, name)])).stdout)
  const train = await read('train')
  expect(train.scalars).toMatchObject({
    epoch_loss: points(history.loss),
    epoch_accuracy: points(history.accuracy),
    epoch_learning_rate: points([0.05, 0.05, 0.05]),
  })
  expect(train.scalars.batch_loss.map(([step]: [number]) => step)).toEqual([2, 4, 6, 8, 10, 12])
  expect(Object.keys(train.histograms)).toEqual(expect.arrayContaining(['0/weight', '1/running_mean', '5/bias']))
  const [step, min, max, count, sum, squares, limits, buckets] = train.histograms['0/weight'][2]
  expect([step, min, max, count]).toEqual([3, Math.min(...weight), Math.max(...weight), weight.length])
  expect(sum).toBeCloseTo(
    weight.reduce((total, value) => total + value),
    12,
  )
  expect(squares).toBeCloseTo(
    weight.reduce((total, value) => total + value * value, 0),
    12,
  )
  const within = (i: number) =>
    weight.filter((value) => value <= limits[i] && (i === 0 || value > limits[i - 1])).length
  expect(buckets).toEqual(limits.map((_: number, i: number) => within(i)))
  const pixel = (h: number, w: number) => [0, 1, 2].map((c) => picture[c * 35 + h * 7 + w])
  const rows = Array.from({ length: 5 }, (_, h) => Array.from({ length: 7 }, (_, w) => pixel(h, w)))
  expect(train.images).toEqual({ picture: [rows] })
  expect(train.nodes).toEqual(expect.arrayContaining(['0/weight', '0/conv2d', '2/relu', '5/weight']))
  const validation = await read('validation')
  expect(validation.scalars).toEqual({
    epoch_loss: points(history.valLoss),
    epoch_accuracy: points(history.valAccuracy),
  })
})

it.skipIf(missing !== undefined)(
  'TensorBoard’s server answers its pages from the files',
  { timeout: 120_000 },
  async () => {
    const options = ['--logdir', folder, '--host', '127.0.0.1', '--port', '0', '--reload_interval', '1']
    const server = spawn(python, ['-m', 'tensorboard.main', ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = new Promise((resolve) => server.once('close', resolve))
    try {
      const address = await new Promise<string>((resolve, reject) => {
        let text = ''
        const look = (part: Buffer) => {
          text += part
          const [found] = text.match(/http:\/\/127\.0\.0\.1:\d+/) ?? []
          if (found !== undefined) resolve(found)
        }
        server.stdout.on('data', look)
        server.stderr.on('data', look)
        server.once('error', reject)
        server.once('close', () => reject(new Error(`TensorBoard ended:\n${text}`)))
      })
      const get = (path: string) => fetch(`${address}/data/${path}`)
      // biome-ignore lint/suspicious/noExplicitAny: whatever the server says
      const json = async (path: string): Promise<any> => (await get(path)).json()
      // It reads the files while it answers already.
      await expect.poll(() => json('plugin/images/tags'), { timeout: 60_000 }).toMatchObject({ train: { picture: {} } })
      expect((await json('runs')).sort()).toEqual(['train', 'validation'])
      const values = async (run: string, tag: string) =>
        (await json(`plugin/scalars/scalars?run=${run}&tag=${tag}`)).map(([, ...point]: number[]) => point)
      expect(await values('train', 'epoch_loss')).toEqual(points(history.loss))
      expect(await values('validation', 'epoch_accuracy')).toEqual(points(history.valAccuracy))
      const histograms = await json('plugin/histograms/histograms?run=train&tag=0/weight')
      expect(histograms.map(([, step]: number[]) => step)).toEqual([1, 2, 3])
      const counts = histograms[2][2].map(([, , count]: number[]) => count)
      expect(counts.reduce((total: number, count: number) => total + count)).toBeCloseTo(weight.length, 6)
      const [{ query, step }] = await json('plugin/images/images?run=train&tag=picture')
      expect(step).toBe(3)
      const image = Buffer.from(await (await get(`plugin/images/individualImage?${query}`)).arrayBuffer())
      expect(image.subarray(1, 4).toString('latin1')).toBe('PNG')
      expect([image.readUInt32BE(16), image.readUInt32BE(20)]).toEqual([7, 5]) // width and height
      expect(await json('plugin/graphs/info')).toMatchObject({ train: { run_graph: true } })
      const graph = await (await get('plugin/graphs/graph?run=train&conceptual=false')).text()
      for (const name of ['0/conv2d', '2/relu', '5/weight']) expect(graph).toContain(`name: "${name}"`)
    } finally {
      server.kill('SIGINT')
      await ended
    }
  },
)
