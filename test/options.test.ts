/** Every function that takes options refuses a name that it does not know, before it does anything else. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as fj from '../lib/index.js'

const model = new fj.nn.Linear(2, 3)
const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.1 })
const dataset = fj.data.fromArrays({ x: new Float32Array(8), y: Int32Array.of(0, 1, 2, 0), shape: [2] })
const images = fj.data.fromArrays({ x: new Uint8Array(32), y: Int32Array.of(0, 1), shape: [1, 4, 4] })
const x = fj.ones([2, 2])
const picture = fj.ones([1, 1, 4, 4])
const cell = new fj.nn.LSTM(2, 3)
/** No such file: what is refused before anything is read does not miss it, and nothing is written. */
const nowhere = join(import.meta.dirname, 'nowhere.safetensors')
const autoencoder = fj.models.autoencoder({ inputs: 2, hidden: [], code: 1 })
const stack = fj.models.stackedAutoencoder({ sizes: [2, 1] })
const layer = { params: model.parameters() }

/** By what messages call it: a call with options that may have any names. */
const calls: Record<string, (options: never) => unknown> = {
  tensor: (options) => fj.tensor([1], options),
  full: (options) => fj.full([1], 1, options),
  zeros: (options) => fj.zeros([1], options),
  ones: (options) => fj.ones([1], options),
  arange: (options) => fj.arange(0, 3, 1, options),
  eye: (options) => fj.eye(2, options),
  rand: (options) => fj.rand([1], options),
  randn: (options) => fj.randn([1], options),
  dropout: (options) => fj.dropout(x, options),
  lstm: (options) => fj.lstm(fj.ones([1, 2, 2]), Object.fromEntries(cell.namedParameters()), options),
  variable: (options) => fj.variable(x, options),
  grad: (options) => fj.grad(fj.sum(x), [x], options),
  gradcheck: (options) => fj.gradcheck((a) => a!, [x], options),
  compile: (options) => fj.compile(() => x, options),
  placeholder: (options) => fj.placeholder([1], options),
  Session: (options) => new fj.Session(options),
  'session.run': (options) => new fj.Session().run(x, options),
  save: (options) => fj.save(model, nowhere, options),
  load: (options) => fj.load(model, nowhere, options),
  saveCheckpoint: (options) => fj.saveCheckpoint(nowhere, options),
  loadCheckpoint: (options) => fj.loadCheckpoint(nowhere, options),
  loadStateDict: (options) => model.loadStateDict({}, options),
  summary: (options) => model.summary(options),
  replaceHead: (options) => fj.replaceHead(model, 2, options),
  fit: (options) => fj.fit(model, dataset, options),
  evaluateModel: (options) => fj.evaluateModel(model, dataset, options),
  predict: (options) => fj.predict(model, x, options),
  learningRateFinder: (options) => fj.learningRateFinder(model, dataset, options),
  'init.normal': (options) => fj.nn.init.normal(options),
  'init.uniform': (options) => fj.nn.init.uniform(options),
  'init.xavierNormal': (options) => fj.nn.init.xavierNormal(options),
  'init.xavierUniform': (options) => fj.nn.init.xavierUniform(options),
  'init.kaimingNormal': (options) => fj.nn.init.kaimingNormal(options),
  'init.kaimingUniform': (options) => fj.nn.init.kaimingUniform(options),
  'init.orthogonal': (options) => fj.nn.init.orthogonal(options),
  StepLR: (options) => new fj.schedule.StepLR(optimizer, options),
  MultiStepLR: (options) => new fj.schedule.MultiStepLR(optimizer, options),
  ExponentialLR: (options) => new fj.schedule.ExponentialLR(optimizer, options),
  CosineAnnealingLR: (options) => new fj.schedule.CosineAnnealingLR(optimizer, options),
  LinearLR: (options) => new fj.schedule.LinearLR(optimizer, options),
  OneCycleLR: (options) => new fj.schedule.OneCycleLR(optimizer, options),
  ReduceLROnPlateau: (options) => new fj.schedule.ReduceLROnPlateau(optimizer, options),
  'SGD: group 0': (options) => new fj.optim.SGD([{ ...layer, ...(options as object) }], { lr: 1 }),
  csvLogger: (options) => fj.callbacks.csvLogger(options),
  earlyStopping: (options) => fj.callbacks.earlyStopping(options),
  modelCheckpoint: (options) => fj.callbacks.modelCheckpoint(options),
  reduceLROnPlateau: (options) => fj.callbacks.reduceLROnPlateau(options),
  tensorBoard: (options) => fj.callbacks.tensorBoard(options),
  'metrics.accuracy': (options) => fj.metrics.accuracy(options),
  'metrics.binaryAccuracy': (options) => fj.metrics.binaryAccuracy(options),
  'metrics.topKAccuracy': (options) => fj.metrics.topKAccuracy(options),
  confusionMatrix: (options) => fj.metrics.confusionMatrix([0], [0], options),
  fromArrays: (options) => fj.data.fromArrays({ x: [1], y: [1], ...(options as object) }),
  'dataset.get': (options) => dataset.get(0, options),
  'dataset.gather': (options) => dataset.gather(Int32Array.of(0), options),
  'dataset.order': (options) => dataset.order(options),
  'dataset.batches': (options) => dataset.batches(options),
  augment: (options) => fj.data.augment(images, options),
  split: (options) => fj.data.split(dataset, options),
  map: (options) => fj.data.map(dataset, (sample) => sample, options),
  prefetch: (options) => fj.data.prefetch(dataset, options),
  csv: (options) => fj.data.csv(nowhere, options),
  imageFolder: (options) => fj.data.imageFolder(nowhere, options),
  mnist: (options) => fj.data.mnist(options),
  fashionMnist: (options) => fj.data.fashionMnist(options),
  cifar10: (options) => fj.data.cifar10(options),
  digits: (options) => fj.data.digits(options),
  housing: (options) => fj.data.housing(options),
  syntheticDigits: (options) => fj.data.syntheticDigits(options),
  syntheticShapes: (options) => fj.data.syntheticShapes(options),
  playground: (options) => fj.data.playground('spiral', options),
  dataFolders: (options) => fj.data.dataFolders(options),
  findFile: (options) => fj.data.findFile(fj.data.SOURCES.mnist, fj.data.SOURCES.mnist.files[0]!, options),
  locateFile: (options) => fj.data.locateFile(fj.data.SOURCES.mnist, fj.data.SOURCES.mnist.files[0]!, options),
  download: (options) => fj.data.download({ urls: [], to: nowhere, bytes: 1, sha256: '' }, options),
  'plot.lines': (options) => fj.plot.lines(options),
  'plot.points': (options) => fj.plot.points(options),
  'plot.bars': (options) => fj.plot.bars(options),
  'plot.heatmap': (options) => fj.plot.heatmap(options),
  'plot.images': (options) => fj.plot.images(options),
  'plot.sideBySide': (options) => fj.plot.sideBySide([], options),
  classifier: (options) => stack.classifier(options),
  ...Object.fromEntries(
    fj.models.list().map(({ name }) => [name, (options: never) => fj.models.create(name, options)]),
  ),
}

/** These hand their options on. */
const handedOn: [string, string, (options: never) => unknown][] = [
  ['fitUnsupervised', 'fit', (options) => fj.models.fitUnsupervised(autoencoder, dataset, options)],
  ['evaluateUnsupervised', 'evaluateModel', (options) => fj.models.evaluateUnsupervised(autoencoder, dataset, options)],
  ['reconstructionError', 'evaluateModel', (options) => fj.models.reconstructionError(autoencoder, dataset, options)],
  ['pretrain', 'fit', (options) => stack.pretrain(dataset, { optimizer: () => optimizer, ...(options as object) })],
]

/** Options that are one of a few words or numbers, by what messages call them and name them. */
const choices: [string, string, (given: never) => unknown][] = [
  ['compile', 'precision', (precision) => fj.compile(() => x, { precision })],
  ['mseLoss', 'reduction', (reduction) => fj.mseLoss(x, x, { reduction })],
  ['klDivLoss', 'reduction', (reduction) => fj.klDivLoss(x, x, { reduction })],
  ['pad', 'mode', (mode) => fj.pad(x, { pads: [[1, 1]], mode })],
  ['conv2d', 'paddingMode', (paddingMode) => fj.conv2d(picture, picture, null, { padding: 1, paddingMode })],
  ['interpolate', 'mode', (mode) => fj.interpolate(picture, { size: 2, mode })],
  ['rnn', 'nonlinearity', (nonlinearity) => fj.rnn(fj.ones([1, 2, 2]), {}, { nonlinearity })],
  ['RNN', 'nonlinearity', (nonlinearity) => new fj.nn.RNN(2, 3, { nonlinearity })],
  ['init.kaimingNormal', 'mode', (mode) => fj.nn.init.kaimingNormal({ mode })([2, 2])],
  ['autoencoder', 'output', (output) => fj.models.autoencoder({ output })],
  ['lenet1998', 'output', (output) => fj.models.lenet1998({ output })],
  ['resnet', 'version', (version) => fj.models.resnet50({ version })],
  ['housing', 'missing', (missing) => fj.data.housing({ missing })],
  ['housing', 'oceanProximity', (oceanProximity) => fj.data.housing({ oceanProximity })],
  ['csv', 'missing', (missing) => fj.data.csv(nowhere, { missing })],
  ['csv', 'target', (target) => fj.data.csv(nowhere, { target })],
  ['imageFolder', 'fit', (fit) => fj.data.imageFolder(nowhere, { fit })],
  ['imageFolder', 'channels', (channels) => fj.data.imageFolder(nowhere, { channels })],
  ['fit', 'dataOnDevice', (dataOnDevice) => fj.fit(model, dataset, { optimizer, dataOnDevice })],
  ['fit', 'scheduleEvery', (scheduleEvery) => fj.fit(model, dataset, { optimizer, scheduleEvery })],
  ['fit', 'verbose', (verbose) => fj.fit(model, dataset, { optimizer, verbose })],
  ['ReduceLROnPlateau', 'mode', (mode) => new fj.schedule.ReduceLROnPlateau(optimizer, { mode })],
  [
    'ReduceLROnPlateau',
    'thresholdMode',
    (thresholdMode) => new fj.schedule.ReduceLROnPlateau(optimizer, { thresholdMode }),
  ],
  ['earlyStopping', 'mode', (mode) => fj.callbacks.earlyStopping({ mode })],
  ['tensorBoard', 'updateFreq', (updateFreq) => fj.callbacks.tensorBoard({ updateFreq })],
  ['plot.lines', 'xScale', (xScale) => fj.plot.lines({ series: {}, xScale })],
  ['plot.lines', 'yScale', (yScale) => fj.plot.lines({ series: {}, yScale })],
]

it.each(choices)('%s: %s that is none of those it may be is refused', async (what, name, call) => {
  const refusal = await Promise.resolve()
    .then(() => call('nonsense' as never))
    .then(
      () => expect.fail('it was taken'),
      (error: unknown) => error,
    )
  expect(refusal).toMatchObject({ name: 'ForjaError', code: 'ERR_ARGUMENT' })
  expect((refusal as Error).message).toMatch(`${what}: ${name} 'nonsense'; expected `)
})

it.each<[string, (signal: never) => Promise<unknown>]>([
  ['fit', (signal) => fj.fit(model, dataset, { optimizer, signal })],
  ['evaluateModel', (signal) => fj.evaluateModel(model, dataset, { signal })],
  ['session.run', (signal) => new fj.Session().run(x, { signal })],
  ['imageFolder', (signal) => fj.data.imageFolder(nowhere, { signal })],
  ['download', (signal) => fj.data.download({ urls: [], to: nowhere, bytes: 1, sha256: '' }, { signal })],
])('%s: a signal that is none is refused', async (what, call) => {
  for (const [given, shown] of [['stop', "'stop'"], [{ aborted: true }, 'Object'], [null, 'null']]) // biome-ignore format: pairs
    await expect(call(given as never)).rejects.toThrow(`${what}: signal ${shown}; expected an AbortSignal`)
})

it('a word with a slip is told apart from others', () => {
  expect(() => fj.interpolate(picture, { size: 2, mode: 'bilinar' as never })).toThrow(
    expect.objectContaining({
      message: "interpolate: mode 'bilinar'; expected 'nearest' or 'bilinear'\n  hint  did you mean 'bilinear'?",
    }),
  )
})

describe('an option that is not known is refused by name', () => {
  const all = Object.entries(calls).map(([name, call]): [string, string, typeof call] => [name, name, call])
  it.each([...all, ...handedOn])('%s', async (_, name, call) => {
    const refusal = await Promise.resolve()
      .then(() => call({ nonsense: 1 } as never))
      .then(
        () => expect.fail('it was taken'),
        (error: unknown) => error,
      )
    expect(refusal).toMatchObject({ name: 'ForjaError', code: 'ERR_ARGUMENT' })
    expect((refusal as Error).message).toMatch(`${name}: unknown option 'nonsense'; expected `)
  })
})

it.each([
  ['epoch', 'epochs'],
  ['batch_size', 'batchSize'],
  ['BatchSize', 'batchSize'],
  ['suffle', 'shuffle'],
  ['validations', 'validation'],
])('%s: did you mean %s?', async (name, meant) => {
  await expect(fj.fit(model, dataset, { optimizer, [name]: 1 } as never)).rejects.toMatchObject({
    hint: `did you mean '${meant}'?`,
  })
})

it('a name that is like none has no hint', async () => {
  const given = { optimizer, colour: 1 } as never
  await expect(fj.fit(model, dataset, given)).rejects.toMatchObject({ hint: undefined })
})

it.each([
  ['a tensor', x],
  ['a layer', model],
])('%s in their place is told as what it is, not by a name in it', (_, given) => {
  const message = `layerNorm: options { gamma, beta, eps, normalizedShape } were expected, got ${given.constructor.name}`
  expect(() => fj.layerNorm(x, given as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', message }))
})

it('nothing that was refused has left a file', () => {
  expect(existsSync(nowhere)).toBe(false)
})
