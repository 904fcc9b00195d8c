/**
 * Operations that memory limits, on maps larger than the caches, in GB/s and percent of the measured copy: what counts is
 * the bytes that any kernel must move. Batch norm reads a batch twice, since statistics come before their use; of the rows of
 * layer norm and cross entropy a cache keeps what statistics have read.
 */
import * as fj from '../index.js'
import { checkParity } from './harness.js'
import { IMAGE, type Inputs, type KernelCase, measureKernel } from './kernels.js'
import { attempt, isGpu, measure, type SuiteContext } from './suite.js'

/** Images, several times the largest cache: of a GPU that is 50 MB. */
const BATCH = 64
const BATCH_CUDA = 256
const [C, H, W] = [64, 56, 56]
const PARAMETERS = 16e6
/** Numbers of a row that layer norm takes. */
const WIDTH = 512

/** Of one image, all channels. */
const ONE_IMAGE = [1, C, H, W]

interface Spec extends Omit<KernelCase, 'suite' | 'tolerance' | 'task' | 'bytes'> {
  readonly task: { readonly op: string; readonly [attribute: string]: unknown }
  /** Times that the maps are read or written. */
  readonly passes: number
}

const channel = { shape: [C] }

const normalized = ({ x, gamma, beta }: Inputs) => fj.batchNorm(x!, { gamma, beta, training: true })
const pooled = ({ x }: Inputs) => fj.maxPool2d(x!, { kernelSize: 2 })

/** For maps of N images. */
function imageCases(N: number): Spec[] {
  const image = { shape: [N, C, H, W], axes: IMAGE }
  const half = { shape: [N, C, H / 2, W / 2], axes: IMAGE }
  /** Of one channel, all images. */
  const ONE_CHANNEL = [N, 1, H, W]
  return [
    {
      name: 'relu',
      inputs: { x: image },
      build: ({ x }) => fj.relu(x!),
      corner: { x: ONE_IMAGE, result: ONE_IMAGE },
      task: { op: 'relu' },
      passes: 2,
    },
    {
      name: 'relu gradient',
      inputs: { x: image, dy: image },
      build: ({ x, dy }) => fj.grad([fj.relu(x!)], [x!], { gradOutputs: [dy!] })[0]!,
      corner: { x: ONE_IMAGE, dy: ONE_IMAGE, result: ONE_IMAGE },
      task: { op: 'reluGradient' },
      passes: 3,
    },
    {
      name: 'add',
      inputs: { x: image, dy: image },
      build: ({ x, dy }) => fj.add(x!, dy!),
      corner: { x: ONE_IMAGE, dy: ONE_IMAGE, result: ONE_IMAGE },
      task: { op: 'add' },
      passes: 3,
    },
    {
      name: 'batch norm',
      inputs: { x: image, gamma: channel, beta: channel },
      build: normalized,
      corner: { x: ONE_CHANNEL, gamma: [1], beta: [1], result: ONE_CHANNEL },
      task: { op: 'batchNorm' },
      passes: 3,
    },
    {
      name: 'batch norm + relu',
      inputs: { x: image, gamma: channel, beta: channel },
      build: (given) => fj.relu(normalized(given)),
      corner: { x: ONE_CHANNEL, gamma: [1], beta: [1], result: ONE_CHANNEL },
      task: { op: 'batchNormRelu' },
      passes: 3,
    },
    {
      name: 'batch norm + add + relu',
      inputs: { x: image, gamma: channel, beta: channel, dy: image },
      build: (given) => fj.relu(fj.add(normalized(given), given.dy!)),
      corner: { x: ONE_CHANNEL, gamma: [1], beta: [1], dy: ONE_CHANNEL, result: ONE_CHANNEL },
      task: { op: 'batchNormAddRelu' },
      passes: 4,
    },
    {
      name: 'batch norm gradient',
      inputs: { x: image, gamma: channel, beta: channel, dy: image },
      build: (given) => fj.grad([normalized(given)], [given.x!], { gradOutputs: [given.dy!] })[0]!,
      corner: { x: ONE_CHANNEL, gamma: [1], beta: [1], dy: ONE_CHANNEL, result: ONE_CHANNEL },
      task: { op: 'batchNormGradient' },
      untimed: 'batchNorm',
      passes: 5,
    },
    {
      name: 'max pool 2x2',
      inputs: { x: image },
      build: pooled,
      corner: { x: ONE_IMAGE, result: [1, C, H / 2, W / 2] },
      task: { op: 'maxPool', kernel: 2, stride: 2, padding: 0 },
      passes: 1.25,
    },
    {
      name: 'max pool 3x3/2',
      inputs: { x: image },
      build: ({ x }) => fj.maxPool2d(x!, { kernelSize: 3, stride: 2, padding: 1 }),
      corner: { x: ONE_IMAGE, result: [1, C, H / 2, W / 2] },
      task: { op: 'maxPool', kernel: 3, stride: 2, padding: 1 },
      passes: 1.25,
    },
    {
      name: 'max pool 2x2 gradient',
      inputs: { x: image, dy: half },
      build: (given) => fj.grad([pooled(given)], [given.x!], { gradOutputs: [given.dy!] })[0]!,
      corner: { x: ONE_IMAGE, dy: [1, C, H / 2, W / 2], result: ONE_IMAGE },
      task: { op: 'maxPoolGradient', kernel: 2, stride: 2, padding: 0 },
      untimed: 'maxPool2d',
      passes: 2.25,
    },
    {
      name: 'average pool 2x2',
      inputs: { x: image },
      build: ({ x }) => fj.avgPool2d(x!, { kernelSize: 2 }),
      corner: { x: ONE_IMAGE, result: [1, C, H / 2, W / 2] },
      task: { op: 'avgPool', kernel: 2 },
      passes: 1.25,
    },
    {
      name: 'global average pool',
      inputs: { x: image },
      build: ({ x }) => fj.globalAvgPool2d(x!),
      corner: { x: ONE_IMAGE, result: [1, C, 1, 1] },
      task: { op: 'globalAvgPool' },
      passes: 1,
    },
  ]
}

function otherCases(N: number): KernelCase[] {
  const MAPS = [N, C, H, W]
  const MAP_BYTES = 4 * N * C * H * W
  // Logits and a matrix of 33 and 67 MB, of a GPU four times as much.
  const ROWS = 128 * N
  const CLASSES = 1000
  const SIDE = 512 * Math.sqrt(N)
  // As many numbers as maps have.
  const TOKENS = [(N * C * H * W) / WIDTH, WIDTH]
  const ONE_TOKEN = [1, WIDTH]
  const vector = { shape: [WIDTH] }
  const standardized = ({ x, gamma, beta }: Inputs) => fj.layerNorm(x!, { gamma, beta })
  return [
    {
      suite: 'ops',
      name: 'layer norm',
      inputs: { x: { shape: TOKENS }, gamma: vector, beta: vector },
      build: standardized,
      corner: { x: ONE_TOKEN, gamma: [WIDTH], beta: [WIDTH], result: ONE_TOKEN },
      task: { kind: 'op', op: 'layerNorm' },
      tolerance: 1e-4,
      bytes: 2 * MAP_BYTES,
    },
    {
      suite: 'ops',
      // Of x alone; with the statistics, which forja computes anew and the peer has from the forward pass.
      name: 'layer norm gradient',
      inputs: { x: { shape: TOKENS }, gamma: vector, beta: vector, dy: { shape: TOKENS } },
      build: (given) => fj.grad([standardized(given)], [given.x!], { gradOutputs: [given.dy!] })[0]!,
      corner: { x: ONE_TOKEN, gamma: [WIDTH], beta: [WIDTH], dy: ONE_TOKEN, result: ONE_TOKEN },
      task: { kind: 'op', op: 'layerNormGradient' },
      tolerance: 1e-4,
      bytes: 3 * MAP_BYTES,
    },
    {
      suite: 'ops',
      name: 'softmax + cross entropy + gradient',
      inputs: { x: { shape: [ROWS, CLASSES] }, labels: { shape: [ROWS], below: CLASSES } },
      // The mean over all rows, also where only a few are looked at.
      build: ({ x, labels }) => fj.grad(fj.mul(fj.crossEntropy(x!, labels!, { reduction: 'sum' }), 1 / ROWS), [x!])[0]!,
      corner: { x: [8, CLASSES], labels: [8], result: [8, CLASSES] },
      task: { kind: 'op', op: 'crossEntropy' },
      tolerance: 1e-4,
      bytes: 2 * 4 * ROWS * CLASSES,
    },
    {
      suite: 'ops',
      name: 'transpose NCHW to NHWC',
      inputs: { x: { shape: MAPS } },
      build: ({ x }) => fj.transpose(x!, [0, 2, 3, 1]),
      corner: { x: ONE_IMAGE, result: [1, H, W, C] },
      task: { kind: 'op', op: 'transpose', axes: [0, 2, 3, 1] },
      tolerance: 0,
      bytes: 2 * MAP_BYTES,
    },
    {
      suite: 'ops',
      name: 'transpose NHWC to NCHW',
      inputs: { x: { shape: [N, H, W, C] } },
      build: ({ x }) => fj.transpose(x!, [0, 3, 1, 2]),
      corner: { x: [1, H, W, C], result: ONE_IMAGE },
      task: { kind: 'op', op: 'transpose', axes: [0, 3, 1, 2] },
      tolerance: 0,
      bytes: 2 * MAP_BYTES,
    },
    {
      suite: 'ops',
      name: `transpose ${SIDE}x${SIDE}`,
      inputs: { x: { shape: [SIDE, SIDE] } },
      build: ({ x }) => fj.transpose(x!, [1, 0]),
      corner: { x: [64, 64], result: [64, 64] },
      task: { kind: 'op', op: 'transpose', axes: [1, 0] },
      tolerance: 0,
      bytes: 2 * 4 * SIDE * SIDE,
    },
  ]
}

/** N, T, inputs and hidden units of a layer that a GPU is measured with. */
const [SEQUENCES, STEPS, FEATURES, HIDDEN] = [64, 100, 512, 512]

const LSTM_INPUTS = {
  x: { shape: [SEQUENCES, STEPS, FEATURES] },
  weight_ih_l0: { shape: [4 * HIDDEN, FEATURES] },
  weight_hh_l0: { shape: [4 * HIDDEN, HIDDEN] },
  bias_ih_l0: { shape: [4 * HIDDEN] },
  bias_hh_l0: { shape: [4 * HIDDEN] },
}
const LSTM_TASK = { kind: 'op', op: 'lstm', scale: HIDDEN ** -0.5 }
const ONE_SEQUENCE = [1, STEPS, FEATURES]

/** Normal numbers as weights would saturate every gate: they are scaled as layers are when they begin. */
function lstm({ x, dy, ...weights }: Inputs): fj.Tensor {
  const scaled = Object.entries(weights).map(([name, weight]) => [name, fj.mul(weight, LSTM_TASK.scale)] as const)
  return fj.lstm(x!, Object.fromEntries(scaled)).y
}

function lstmCase(name: string, of: Pick<KernelCase, 'inputs' | 'build' | 'untimed'>, products: number): KernelCase {
  const given = Object.entries(of.inputs).map(([name, { shape }]) => [name, shape] as const)
  const corner = given.map(([name, shape]) => [name, shape[0] === SEQUENCES ? ONE_SEQUENCE : shape])
  return {
    suite: 'ops',
    name: `lstm h${HIDDEN} b${SEQUENCES} T${STEPS} ${name}`,
    ...of,
    corner: { ...Object.fromEntries(corner), result: ONE_SEQUENCE },
    task: LSTM_TASK,
    // A rounding error passes through a hundred steps.
    tolerance: 1e-3,
    flops: products * 2 * SEQUENCES * STEPS * 4 * HIDDEN * (FEATURES + HIDDEN),
    bytes: 4 * SEQUENCES * STEPS * (FEATURES + HIDDEN) + 16 * HIDDEN * (FEATURES + HIDDEN),
  }
}

const LSTM_CASES: readonly KernelCase[] = [
  lstmCase('forward', { inputs: LSTM_INPUTS, build: lstm }, 1),
  lstmCase(
    'gradients',
    {
      inputs: { ...LSTM_INPUTS, dy: { shape: [SEQUENCES, STEPS, HIDDEN] } },
      // One operation gives all of them.
      build: (given) => fj.grad([lstm(given)], [given.x!], { gradOutputs: [given.dy!] })[0]!,
      untimed: 'recurrent',
    },
    2,
  ),
]

export async function opsSuite(context: SuiteContext): Promise<void> {
  const batch = isGpu(context) ? BATCH_CUDA : BATCH
  const images = imageCases(batch).map(
    ({ task, passes, ...spec }): KernelCase => ({
      ...spec,
      suite: 'ops',
      resultAxes: IMAGE,
      task: { kind: 'op', ...task },
      // Sums over a channel have 200,000 terms.
      tolerance: 1e-4,
      bytes: passes * 4 * batch * C * H * W,
    }),
  )
  for (const kase of [...images, ...otherCases(batch), ...(isGpu(context) ? LSTM_CASES : [])])
    await attempt(context, kase.name, () => measureKernel(context, kase))
  await attempt(context, 'adam', () => adam(context))
}

/** One update of 16 million parameters: parameter, gradient and both means are read, all but the gradient written. */
async function adam(context: SuiteContext): Promise<void> {
  const shape = [PARAMETERS]
  const [start, gradient] = [await fj.randn(shape).data(), await fj.randn(shape).data()]
  const update = (size: number, device: string) => {
    const parameter = fj.variable(fj.tensor(start.slice(0, size)))
    const given = fj.variable(fj.tensor(gradient.slice(0, size)))
    const optimizer = new fj.optim.Adam([parameter])
    const step = fj.compile(() => void optimizer.step([given]) as undefined, { device })
    const dispose = () => {
      step.dispose()
      optimizer.dispose()
      parameter.dispose()
      given.dispose()
    }
    return { parameter, step, dispose }
  }
  const [ours, exact] = [update(PARAMETERS, context.device), update(1000, 'reference')]
  try {
    await ours.step()
    await exact.step()
    const expected = await exact.parameter.data()
    const call = async () => {
      if (context.device === 'reference') return void (await ours.step()) as undefined
      return (await ours.step.profile()).reduce((sum, { milliseconds }) => sum + milliseconds / 1000, 0)
    }
    await measure(context, {
      suite: 'ops',
      name: 'adam',
      entrants: [{ variant: 'forja', result: await ours.parameter.data(), call }],
      task: {
        case: { kind: 'op', op: 'adam' },
        arrays: {
          x: { shape, dtype: 'float32', data: start },
          gradient: { shape, dtype: 'float32', data: gradient },
        },
      },
      tolerance: 1e-4,
      check: async (result, what) => ({
        against: 'reference',
        error: checkParity(`${what} against the reference`, Array.from(result).slice(0, 1000), expected, 1e-4),
      }),
      bytes: 7 * 4 * PARAMETERS,
    })
  } finally {
    ours.dispose()
    exact.dispose()
  }
}
