import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { randomTensor } from '../helpers/compare.js'

const code = (value: string) => expect.objectContaining({ code: value })

// Parameters and multiply-accumulates of one sample, as published (torchvision's metadata where it has the network).
describe.each<{ name: string; options: fj.models.ModelOptions; parameters: number; macs: number }>([
  { name: 'softmaxRegression', options: {}, parameters: 7_850, macs: 7_840 },
  { name: 'perceptron', options: {}, parameters: 7_850, macs: 7_840 },
  { name: 'mlp', options: {}, parameters: 407_050, macs: 406_528 },
  { name: 'mlp', options: { hidden: [512, 512] }, parameters: 669_706, macs: 668_672 },
  { name: 'mlp', options: { hidden: [800] }, parameters: 636_010, macs: 635_200 },
  { name: 'lenet5', options: {}, parameters: 61_706, macs: 416_520 },
  { name: 'convnetjsCifar', options: {}, parameters: 22_466, macs: 3_920_000 },
  // The 1998 form's convolution by table runs as a full one: 117,600 + 240,000 + 48,000 + 10,080 multiply-accumulates.
  { name: 'lenet1998', options: {}, parameters: 60_000, macs: 415_680 },
  { name: 'lenet1998', options: { output: 'linear' as const }, parameters: 60_850, macs: 416_520 },
  { name: 'haykin', options: { classes: 10 }, parameters: 2_578, macs: 57_600 + 76_800 + 1_920 },
  { name: 'haykin', options: {}, parameters: 5_666, macs: 57_600 + 76_800 + 4_992 },
  { name: 'resnet20Cifar', options: {}, parameters: 269_722, macs: 40_551_040 },
  { name: 'resnet20Cifar', options: { residual: false }, parameters: 269_722, macs: 40_551_040 },
  { name: 'resnet56Cifar', options: {}, parameters: 853_018, macs: 125_485_696 },
  { name: 'resnet110Cifar', options: {}, parameters: 1_727_962, macs: 252_887_680 },
  { name: 'rnnClassifier', options: {}, parameters: 21_514, macs: 560_384 },
  { name: 'lstmClassifier', options: {}, parameters: 82_186, macs: 2_237_696 },
  { name: 'gruClassifier', options: {}, parameters: 61_962, macs: 1_678_592 },
  { name: 'charLSTM', options: {}, parameters: 360_544, macs: 35_225_600 },
  { name: 'charLSTM', options: { vocabulary: 50, numLayers: 2 }, parameters: 872_114, macs: 86_476_800 },
  { name: 'resnet18Cifar', options: {}, parameters: 11_173_962, macs: 555_422_720 },
  { name: 'alexnet', options: {}, parameters: 61_100_840, macs: 714_188_480 },
  { name: 'alexnet2012', options: {}, parameters: 60_965_224, macs: 724_406_816 },
  { name: 'alexnet2012', options: { groups: 1 }, parameters: 62_378_344, macs: 1_135_256_096 },
  { name: 'vgg11', options: {}, parameters: 132_863_336, macs: 7_609_090_048 },
  { name: 'vgg13', options: {}, parameters: 133_047_848, macs: 11_308_466_176 },
  { name: 'vgg16', options: {}, parameters: 138_357_544, macs: 15_470_264_320 },
  { name: 'vgg19', options: {}, parameters: 143_667_240, macs: 19_632_062_464 },
  { name: 'vgg11Bn', options: {}, parameters: 132_868_840, macs: 7_609_090_048 },
  { name: 'vgg13Bn', options: {}, parameters: 133_053_736, macs: 11_308_466_176 },
  { name: 'vgg16Bn', options: {}, parameters: 138_365_992, macs: 15_470_264_320 },
  { name: 'vgg19Bn', options: {}, parameters: 143_678_248, macs: 19_632_062_464 },
  { name: 'googlenet', options: { auxiliary: true }, parameters: 13_004_888, macs: 1_498_376_192 },
  { name: 'googlenet2014', options: {}, parameters: 6_998_552, macs: 1_582_671_872 },
  { name: 'googlenet', options: {}, parameters: 6_624_904, macs: 1_498_376_192 },
  { name: 'resnet18', options: {}, parameters: 11_689_512, macs: 1_814_073_344 },
  { name: 'resnet34', options: {}, parameters: 21_797_672, macs: 3_663_761_408 },
  { name: 'resnet50', options: {}, parameters: 25_557_032, macs: 4_089_184_256 },
  { name: 'resnet50', options: { version: 1 as const }, parameters: 25_557_032, macs: 3_857_973_248 },
  { name: 'resnet101', options: {}, parameters: 44_549_160, macs: 7_801_405_440 },
  { name: 'resnet152', options: {}, parameters: 60_192_808, macs: 11_513_626_624 },
])('$name $options', ({ name, options, parameters, macs }) => {
  it(`has ${parameters} parameters and ${macs} MACs`, () => {
    const { input, dtype, classes } = fj.models.list().find((info) => info.name === name)!
    const summary = fj.models.create(name, options).summary({ input, dtype })
    expect(summary.parameters).toBe(parameters)
    expect(summary.macs).toBe(macs)
    // A language model answers at every step.
    const steps = dtype === 'int32' ? input : []
    const { vocabulary = options.classes ?? classes } = options as { vocabulary?: number; classes?: number }
    const outputs = summary.layers.filter((layer) => layer.outputShape !== null)
    expect(outputs.at(-1)!.outputShape!.filter((size) => size !== 1)).toEqual([...steps, vocabulary])
  })
})

describe('other networks of the table, from layers', () => {
  const { nn } = fj
  const conv = (from: number, to: number, size: number, options = {}) => new nn.Conv2d(from, to, size, options)
  const head = (...sizes: number[]) => sizes.slice(1).map((size, i) => new nn.Linear(sizes[i]!, size))

  /** Expansion by t, depthwise 3×3, projection: counts do not depend on the shortcuts, which are left out. */
  const mobileNetV2 = () => {
    const unit = (from: number, to: number, size: number, stride = 1, groups = 1) => [
      conv(from, to, size, { stride, padding: (size - 1) / 2, groups, bias: false }),
      new nn.BatchNorm2d(to),
    ]
    const layers: fj.nn.Module[] = [...unit(3, 32, 3, 2)]
    let channels = 32
    for (const [t, c, n, s] of [
      [1, 16, 1, 1],
      [6, 24, 2, 2],
      [6, 32, 3, 2],
      [6, 64, 4, 2],
      [6, 96, 3, 1],
      [6, 160, 3, 2],
      [6, 320, 1, 1],
    ] as const) {
      for (let i = 0; i < n; i++) {
        const wide = channels * t
        if (t > 1) layers.push(...unit(channels, wide, 1))
        layers.push(...unit(wide, wide, 3, i === 0 ? s : 1, wide), ...unit(wide, c, 1))
        channels = c
      }
    }
    return [...layers, ...unit(320, 1280, 1), new nn.GlobalAvgPool2d(), new nn.Flatten(), ...head(1280, 1000)]
  }
  const caffePool = () => new nn.MaxPool2d(3, { stride: 2, ceilMode: true })

  it.each<[string, () => fj.nn.Module[], number[], number, number]>([
    [
      'Caffe’s LeNet',
      () => [
        conv(1, 20, 5),
        new nn.MaxPool2d(2),
        conv(20, 50, 5),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        ...head(800, 500, 10),
      ],
      [1, 28, 28],
      431_080,
      2_293_000,
    ],
    [
      'Keras’s network for MNIST',
      () => [conv(1, 32, 3), conv(32, 64, 3), new nn.MaxPool2d(2), new nn.Flatten(), ...head(9216, 128, 10)],
      [1, 28, 28],
      1_199_882,
      11_992_448,
    ],
    [
      'Caffe’s quick network for CIFAR-10',
      () => [
        ...[conv(3, 32, 5, { padding: 2 }), caffePool(), conv(32, 32, 5, { padding: 2 }), caffePool()],
        ...[conv(32, 64, 5, { padding: 2 }), caffePool(), new nn.Flatten(), ...head(1024, 64, 10)],
      ],
      [3, 32, 32],
      145_578,
      12_354_176,
    ],
    ['MobileNetV2', mobileNetV2, [3, 224, 224], 3_504_872, 300_774_272],
  ])('%s', (_name, layers, input, parameters, macs) => {
    const summary = new nn.Sequential(...layers()).summary({ input })
    expect([summary.parameters, summary.macs]).toEqual([parameters, macs])
  })
})

it.each([
  { name: 'autoencoder', parameters: 209_968, macs: 208_896, outputs: [1, 28, 28] },
  { name: 'denoisingAutoencoder', parameters: 157_684, macs: 156_800, outputs: [1, 28, 28] },
  { name: 'sparseAutoencoder', parameters: 157_684, macs: 156_800, outputs: [1, 28, 28] },
  { name: 'convAutoencoder', parameters: 111_521, macs: 608_384, outputs: [1, 28, 28] },
  { name: 'stackedAutoencoder', parameters: 435_536, macs: 217_088, outputs: [64] },
  { name: 'deepBeliefNetwork', parameters: 218_448, macs: 217_088, outputs: [64] },
])('$name learns from samples, and is known by name', ({ name, parameters, macs, outputs }) => {
  const info = fj.models.list().find((model) => model.name === name)!
  const model = fj.models.create(name)
  const summary = model.summary({ input: info.input })
  expect([summary.parameters, summary.macs]).toEqual([parameters, macs])
  const answer = model.forward(fj.zeros([2, ...info.input]))
  expect(answer.shape).toEqual([2, ...outputs])
  expect(answer.size).toBe(2 * info.classes)
  expect(info.trainedBy).toBe('pretrain' in model ? 'pretrain' : 'fitUnsupervised')
  expect(() => fj.models.create(name, { classes: 3 })).toThrow(
    /unknown option 'classes'; expected (inputs|input|sizes)/,
  )
})

it('lists every network once with one line', () => {
  const names = fj.models.list().map((info) => info.name)
  expect(new Set(names).size).toBe(names.length)
  expect(names).toContain('lenet5')
  for (const { description } of fj.models.list()) expect(description).toMatch(/^[^\n]{10,80}$/)
})

it('takes classes, and refuses what it does not know', () => {
  const resnet = fj.models.create('resnet18Cifar', { classes: 100 })
  expect(resnet.summary({ input: [3, 32, 32] }).parameters).toBe(11_173_962 + 90 * 513)
  expect(() => fj.models.create('lenet6')).toThrow(code('ERR_ARGUMENT'))
  expect(() => fj.models.create('lenet6')).toThrow(/unknown model 'lenet6'; expected one of .*lenet5/)
  expect(() => fj.models.create('toString')).toThrow(code('ERR_ARGUMENT'))
  expect(() => fj.models.create('lenet5', { hidden: [3] })).toThrow(/lenet5: unknown option 'hidden'; expected classes/)
  expect(() => fj.models.mlp({ hidden: [0] })).toThrow(code('ERR_ARGUMENT'))
  expect(() => fj.models.mlp({ hidden: 5 as never })).toThrow(code('ERR_ARGUMENT'))
})

describe('state names are PyTorch’s', () => {
  it('lenet5', () => {
    expect(
      fj.models
        .lenet5()
        .namedVariables()
        .map(([name, v]) => [name, ...v.shape]),
    ).toEqual([
      ['conv1.weight', 6, 1, 5, 5],
      ['conv1.bias', 6],
      ['conv2.weight', 16, 6, 5, 5],
      ['conv2.bias', 16],
      ['fc1.weight', 120, 400],
      ['fc1.bias', 120],
      ['fc2.weight', 84, 120],
      ['fc2.bias', 84],
      ['fc3.weight', 10, 84],
      ['fc3.bias', 10],
    ])
  })

  it('lstmClassifier', () => {
    expect(
      fj.models
        .lstmClassifier({ hiddenSize: 5 })
        .namedVariables()
        .map(([name, v]) => [name, ...v.shape]),
    ).toEqual([
      ['rnn.weight_ih_l0', 20, 28],
      ['rnn.weight_hh_l0', 20, 5],
      ['rnn.bias_ih_l0', 20],
      ['rnn.bias_hh_l0', 20],
      ['fc.weight', 10, 5],
      ['fc.bias', 10],
    ])
  })

  it('resnet18Cifar', () => {
    const norm = (name: string) =>
      ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'].map((leaf) => `${name}.${leaf}`)
    const block = (name: string, downsample: boolean) => [
      `${name}.conv1.weight`,
      ...norm(`${name}.bn1`),
      `${name}.conv2.weight`,
      ...norm(`${name}.bn2`),
      ...(downsample ? [`${name}.downsample.0.weight`, ...norm(`${name}.downsample.1`)] : []),
    ]
    const stages = [1, 2, 3, 4].flatMap((i) => [...block(`layer${i}.0`, i > 1), ...block(`layer${i}.1`, false)])
    const expected = ['conv1.weight', ...norm('bn1'), ...stages, 'fc.weight', 'fc.bias']
    const model = fj.models.resnet18Cifar()
    expect(model.namedVariables().map(([name]) => name)).toEqual(expected)
    expect(model.parameters().length).toBe(62)
    expect(model.buffers().length).toBe(60)
  })

  it('bottleneck blocks', () => {
    const names = fj.models
      .resnet50()
      .namedVariables()
      .map(([name]) => name)
    expect(names.length).toBe(320)
    expect(names).toContain('layer1.0.downsample.1.running_var')
    expect(names).toContain('layer3.5.conv3.weight')
    expect(names).not.toContain('layer3.1.downsample.0.weight')
  })
})

it.each([
  ['alexnet', ['features.0.weight', 'features.10.bias', 'classifier.1.weight', 'classifier.6.bias']],
  ['vgg16', ['features.0.weight', 'features.28.bias', 'classifier.0.weight', 'classifier.6.bias']],
  ['vgg16Bn', ['features.0.weight', 'features.1.running_mean', 'features.41.bias', 'classifier.6.bias']],
  ['resnet56Cifar', ['conv1.weight', 'layer3.8.bn2.running_var', 'fc.bias']],
  [
    'googlenet',
    [
      'conv1.conv.weight',
      'conv3.bn.bias',
      'inception4e.branch4.1.conv.weight',
      'inception5b.branch3.0.bn.running_var',
      'fc.bias',
    ],
  ],
])('%s has names of PyTorch’s', (name, expected) => {
  expect(
    fj.models
      .create(name)
      .namedVariables()
      .map(([key]) => key),
  ).toEqual(expect.arrayContaining(expected))
})

it.each(['softmaxRegression', 'mlp', 'lenet5', 'rnnClassifier', 'lstmClassifier', 'gruClassifier'])(
  '%s gives the same logits on the CPU and the reference',
  async (name) => {
    fj.setSeed(5)
    const model = fj.models.create(name).eval()
    const x = randomTensor([3, 1, 28, 28], 1)
    const logits = async (device: string) => {
      const run = fj.compile((images: fj.Tensor) => model.forward(images), { device })
      const result = await run(x)
      run.dispose()
      return await result.data()
    }
    const [cpu, reference] = [await logits('cpu'), await logits('reference')]
    expect(cpu.length).toBe(30)
    cpu.forEach((value, i) => expect(Math.abs(value - reference[i]!)).toBeLessThan(1e-5))
    expect(Math.max(...cpu) - Math.min(...cpu)).toBeGreaterThan(0.05)
  },
)

it('resnet18Cifar runs', async () => {
  const model = fj.models.resnet18Cifar().eval()
  const logits = await model.forward(randomTensor([1, 3, 32, 32], 2)).data()
  expect(logits.length).toBe(10)
  expect(Array.from(logits).every(Number.isFinite)).toBe(true)
  model.dispose()
})

it('charLSTM goes on from the state it left behind', async () => {
  fj.setSeed(4)
  const model = fj.models.charLSTM({ vocabulary: 7, embeddingSize: 3, hiddenSize: 5, numLayers: 2 }).eval()
  const text = randomTensor([2, 6], 1, 'int32', 7)
  const [front, back] = fj.split(text, 2, { axis: 1 })
  const { logits } = model.continue(back!, model.continue(front!).state)
  const whole = fj.slice(model.forward(text), { starts: [0, 3] })
  expect(logits.shape).toEqual([2, 3, 7])
  const expected = await whole.data()
  ;(await logits.data()).forEach((value, i) => {
    expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6)
  })
})
