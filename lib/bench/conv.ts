/** Convolutions of known networks, each direction by itself. */
import * as fj from '../index.js'
import { outputSize } from '../ops/conv.js'
import { FILTER, IMAGE, type KernelCase, measureKernel } from './kernels.js'
import { attempt, isGpu, type SuiteContext } from './suite.js'

interface Convolution {
  network: string
  batch: number
  /** Input and output channels. */
  c: number
  k: number
  /** Height and width of the image and of the filter. */
  size: number
  taps: number
  stride?: number
  /** Default: half the filter. */
  padding?: number
}

type Shape = readonly [size: number, taps: number, c: number, k: number, stride?: number]

function network(name: string, batch: number, ...shapes: readonly Shape[]): Convolution[] {
  return shapes.map(([size, taps, c, k, stride = 1]) => ({ network: name, batch, size, taps, c, k, stride }))
}

function lenet5(batch: number): Convolution[] {
  return [
    { network: 'lenet5', batch, size: 28, taps: 5, c: 1, k: 6, padding: 2 },
    { network: 'lenet5', batch, size: 14, taps: 5, c: 6, k: 16, padding: 0 },
  ]
}

const CASES: readonly Convolution[] = [
  ...lenet5(128),
  ...lenet5(8),
  ...network(
    'resnet18Cifar',
    64,
    [32, 3, 3, 64],
    [32, 3, 64, 64],
    [32, 3, 64, 128, 2],
    [32, 1, 64, 128, 2],
    [16, 3, 128, 128],
    [16, 3, 128, 256, 2],
    [16, 1, 128, 256, 2],
    [8, 3, 256, 256],
    [8, 3, 256, 512, 2],
    [8, 1, 256, 512, 2],
    [4, 3, 512, 512],
  ),
  ...network(
    'vgg16',
    4,
    [224, 3, 3, 64],
    [224, 3, 64, 64],
    [112, 3, 64, 128],
    [112, 3, 128, 128],
    [56, 3, 128, 256],
    [56, 3, 256, 256],
    [28, 3, 256, 512],
    [28, 3, 512, 512],
    [14, 3, 512, 512],
  ),
  ...network(
    'resnet50',
    32,
    [224, 7, 3, 64, 2],
    [56, 1, 64, 64],
    [56, 3, 64, 64],
    [56, 1, 64, 256],
    [56, 1, 256, 64],
    [56, 1, 256, 128],
    [56, 1, 256, 512, 2],
    [56, 3, 128, 128, 2],
    [28, 1, 128, 512],
    [28, 1, 512, 128],
    [28, 3, 128, 128],
    [28, 1, 512, 256],
    [28, 1, 512, 1024, 2],
    [28, 3, 256, 256, 2],
    [14, 1, 256, 1024],
    [14, 1, 1024, 256],
    [14, 3, 256, 256],
    [14, 1, 1024, 512],
    [14, 1, 1024, 2048, 2],
    [14, 3, 512, 512, 2],
    [7, 1, 512, 2048],
    [7, 1, 2048, 512],
    [7, 3, 512, 512],
  ),
]

/** Shapes that end with the naive variant too: a 3×3 in the middle of a network, a strided one and a first layer. */
const LADDER: readonly Convolution[] = [
  ...network('ladder', 4, [56, 3, 64, 64], [14, 3, 256, 256], [56, 3, 64, 128, 2], [56, 1, 64, 256]),
  ...network('ladder', 1, [224, 7, 3, 64, 2]),
]

/** The same for a GPU, of which batches this large keep all multiprocessors busy. */
const LADDER_CUDA: readonly Convolution[] = network(
  'ladder',
  64,
  [56, 3, 64, 64],
  [28, 3, 128, 128],
  [14, 3, 256, 256],
  [56, 3, 128, 128, 2],
  [56, 1, 64, 256],
  [14, 1, 1024, 256],
  [224, 7, 3, 64, 2],
)

const DIRECTIONS = ['forward', 'gradInput', 'gradWeight'] as const

const OPERATIONS = { forward: 'conv2d', gradInput: 'conv2dGradInput', gradWeight: 'conv2dGradWeight' } as const

export async function convSuite(context: SuiteContext): Promise<void> {
  const ladder = isGpu(context) ? LADDER_CUDA : LADDER
  for (const convolution of context.ladder ? ladder : CASES) {
    for (const direction of DIRECTIONS) {
      // Nobody asks for the gradient with respect to the data.
      if (direction === 'gradInput' && convolution.c <= 3) continue
      const kase = kernelCase(convolution, direction)
      await attempt(context, kase.name, () => measureKernel(context, kase))
    }
  }
}

function kernelCase(convolution: Convolution, direction: (typeof DIRECTIONS)[number]): KernelCase {
  const { network, batch: n, c, k, size, taps, stride = 1, padding = taps >> 1 } = convolution
  const out = outputSize(size, taps, stride, 1, padding, padding)
  const x = [n, c, size, size]
  const weight = [k, c, taps, taps]
  const y = [n, k, out, out]
  const forward = (image: fj.Tensor, filter: fj.Tensor) => fj.conv2d(image, filter, null, { stride, padding })
  const common = {
    suite: 'conv',
    name: `${network} ${taps}x${taps}${stride > 1 ? `/${stride}` : ''} ${c}-${k} @${size} b${n} ${direction}`,
    operation: OPERATIONS[direction],
    task: { kind: 'conv', direction, stride, padding, x, weight },
    // Winograd's transforms cost a few bits.
    tolerance: 1e-4,
    flops: 2 * n * k * out * out * c * taps * taps,
    bytes: 4 * (n * c * size * size + k * c * taps * taps + n * k * out * out),
  }
  // One image or channel of each operand is enough to know a part of the result.
  if (direction === 'forward') {
    return {
      ...common,
      inputs: { x: { shape: x, axes: IMAGE }, weight: { shape: weight, axes: FILTER } },
      build: (given) => forward(given.x!, given.weight!),
      resultAxes: IMAGE,
      corner: { x: [1, c, size, size], weight: [1, c, taps, taps], result: [1, 1, out, out] },
    }
  }
  if (direction === 'gradInput') {
    return {
      ...common,
      inputs: { dy: { shape: y, axes: IMAGE }, weight: { shape: weight, axes: FILTER } },
      build: ({ dy, weight: w }) => {
        const image = fj.zeros([dy!.shape[0]!, w!.shape[1]!, size, size])
        return fj.grad([forward(image, w!)], [image], { gradOutputs: [dy!] })[0]!
      },
      resultAxes: IMAGE,
      corner: { dy: [1, k, out, out], weight: [k, 1, taps, taps], result: [1, 1, size, size] },
    }
  }
  return {
    ...common,
    inputs: { dy: { shape: y, axes: IMAGE }, x: { shape: x, axes: IMAGE } },
    build: ({ dy, x: image }) => {
      const filter = fj.zeros([dy!.shape[1]!, image!.shape[1]!, taps, taps])
      return fj.grad([forward(image!, filter)], [filter], { gradOutputs: [dy!] })[0]!
    },
    resultAxes: FILTER,
    corner: { dy: [n, 1, out, out], x: [n, 1, size, size], result: [1, 1, taps, taps] },
  }
}
