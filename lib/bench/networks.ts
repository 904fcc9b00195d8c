/** Whole networks on one batch in memory: training steps and inference. */
import * as fj from '../index.js'
import type { Precision } from '../passes/lower.js'
import { accuracySuite } from './accuracy.js'
import { checkParity } from './harness.js'
import type { PeerArray } from './peers.js'
import { attempt, type Case, dtypeOn, type Entrant, isGpu, measure, type SuiteContext } from './suite.js'

interface NetworkCase {
  readonly model: string
  readonly batch: number
}

const TRAIN: readonly NetworkCase[] = [
  { model: 'lenet5', batch: 128 },
  { model: 'lenet5', batch: 8 },
  { model: 'mlp', batch: 128 },
  { model: 'resnet18Cifar', batch: 64 },
  { model: 'vgg16', batch: 4 },
  { model: 'lstmClassifier', batch: 128 },
]

/** What keeps a GPU busy. */
const TRAIN_CUDA: readonly NetworkCase[] = [
  { model: 'lenet5', batch: 128 },
  { model: 'mlp', batch: 128 },
  { model: 'lstmClassifier', batch: 128 },
  { model: 'resnet18Cifar', batch: 512 },
  { model: 'resnet50', batch: 256 },
]

const INFER: readonly NetworkCase[] = [
  { model: 'lenet5', batch: 128 },
  { model: 'lenet5', batch: 1 },
  { model: 'resnet18Cifar', batch: 64 },
  { model: 'vgg16', batch: 4 },
]

/** What devices are compared on: which is the faster depends on the batch. */
const SWEEP: readonly NetworkCase[] = ['lenet5', 'mlp', 'lstmClassifier', 'resnet18Cifar'].flatMap((model) =>
  [8, 32, 128, 512].map((batch) => ({ model, batch })),
)

const LEARNING_RATE = 0.01
/** Training steps whose losses are compared. */
const STEPS = 3
/** Losses and logits of deep networks, after hundreds of sums in another order, of operands so exact. */
const TOLERANCE: Readonly<Record<Precision, number>> = { float32: 1e-3, tf32: 5e-3, bfloat16: 5e-2 }
/** Steps that are handed over together where a GPU is timed, which fit() keeps busy likewise; their mean time counts. */
const BURST = 8
/** Of a burst, about; longer steps are fewer. */
const BURST_SECONDS = 0.1

export async function trainSuite(context: SuiteContext): Promise<void> {
  await networkSuite(context, 'train', isGpu(context) ? TRAIN_CUDA : TRAIN)
  if (context.devices.length > 1) await accuracySuite(context)
}

export function inferSuite(context: SuiteContext): Promise<void> {
  return networkSuite(context, 'infer', INFER)
}

type Kind = 'train' | 'infer'

async function networkSuite(context: SuiteContext, kind: Kind, cases: readonly NetworkCase[]): Promise<void> {
  for (const kase of context.devices.length > 1 ? SWEEP : cases) {
    const name = `${kase.model} b${kase.batch}`
    await attempt(context, name, () => measureNetwork(context, kind, kase, name))
  }
}

async function measureNetwork(
  context: SuiteContext,
  kind: Kind,
  { model: architecture, batch }: NetworkCase,
  name: string,
): Promise<void> {
  const { input, classes } = fj.models.list().find((info) => info.name === architecture)!
  const x = await resident(fj.randn([batch, ...input]))
  const labels = await resident(fj.randint(0, classes, [batch]))
  const bursts = context.devices.some((device) => device.startsWith('cuda'))
  const subjects: Subject[] = []
  const entrants: Entrant[] = []
  try {
    for (const device of context.devices) {
      const options = { device, precision: dtypeOn(context, device) }
      const subject = await Subject.create(kind, architecture, x, labels, options)
      subjects.push(subject)
      entrants.push({ variant: 'forja', device, result: subject.result, call: () => subject.call(bursts) })
    }
    const [{ model, parameters }] = subjects as [Subject]
    const { macs } = model.summary({ input })
    const tolerance = TOLERANCE[context.precision]
    let plain: Promise<ArrayLike<number>> | undefined
    await measure(context, {
      suite: kind,
      name,
      entrants,
      task: {
        case: {
          kind: 'network',
          model: architecture,
          train: kind === 'train',
          lr: LEARNING_RATE,
          steps: STEPS,
          precision: context.precision,
        },
        arrays: { ...parameters, x: await arrayOf(x), labels: await arrayOf(labels) },
      },
      tolerance,
      checkWithoutPeer: async (result, what, tolerance) => {
        plain ??= plainResult(context, kind, architecture, x, labels)
        return { against: 'plain variants', error: checkParity(what, result, await plain, tolerance) }
      },
      // Forward, and for training the two gradients, each as much again.
      flops: 2 * macs * batch * (kind === 'train' ? 3 : 1),
      samples: batch,
    } satisfies Case)
  } finally {
    for (const subject of subjects) subject.dispose()
  }
}

/** The same from the variants that lessons show, where no peer can tell whether the fast ones are right. */
async function plainResult(
  { device }: SuiteContext,
  kind: Kind,
  architecture: string,
  x: fj.Tensor,
  labels: fj.Tensor,
): Promise<ArrayLike<number>> {
  const matmul = device.startsWith('cuda') ? 'coalesced' : 'blocked'
  const algorithms = { matmul, conv2d: 'im2col', conv2dGradInput: 'im2col', conv2dGradWeight: 'im2col' }
  const subject = await Subject.create(kind, architecture, x, labels, { device, algorithms })
  subject.dispose()
  return subject.result
}

/** A network with its compiled step. */
class Subject {
  private constructor(
    readonly model: fj.models.Network,
    /** As they were before the first step. */
    readonly parameters: Readonly<Record<string, PeerArray>>,
    /** The losses of the first steps, or the logits. */
    readonly result: ArrayLike<number>,
    private readonly step: () => Promise<unknown>,
    /** Of the last step. */
    private readonly seconds: number,
    readonly dispose: () => void,
  ) {}

  /** One step; or the seconds of one where `bursts` hands several over together. */
  async call(bursts: boolean): Promise<number | undefined> {
    if (!bursts) {
      await this.step()
      return undefined
    }
    const count = Math.max(1, Math.min(BURST, Math.round(BURST_SECONDS / this.seconds)))
    const begin = performance.now()
    await Promise.all(Array.from({ length: count }, () => this.step()))
    return (performance.now() - begin) / 1000 / count
  }

  static async create(
    kind: Kind,
    architecture: string,
    x: fj.Tensor,
    labels: fj.Tensor,
    options: fj.CompileFunctionOptions,
  ): Promise<Subject> {
    fj.setSeed(1)
    // Dropout would draw other units than a peer's.
    const model = fj.models.create(architecture, architecture.startsWith('vgg') ? { dropout: 0 } : {})
    const parameters: Record<string, PeerArray> = {}
    for (const [i, parameter] of model.parameters().entries()) parameters[`parameter${i}`] = await arrayOf(parameter)
    if (kind === 'infer') {
      model.eval()
      const forward = fj.compile(() => model.forward(x), options)
      const timed = await timing(forward)
      const result = await timed.value.data()
      const dispose = () => {
        forward.dispose()
        model.dispose()
      }
      return new Subject(model, parameters, result, forward, timed.seconds, dispose)
    }
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: LEARNING_RATE, momentum: 0.9 })
    const step = fj.compile(() => {
      const loss = fj.crossEntropy(model.forward(x), labels)
      optimizer.minimize(loss)
      return { loss }
    }, options)
    const dispose = () => {
      step.dispose()
      optimizer.dispose()
      model.dispose()
    }
    const losses: number[] = []
    let seconds = 0
    for (let i = 0; i < STEPS; i++) {
      const timed = await timing(step)
      losses.push(await timed.value.loss.item())
      seconds = timed.seconds
    }
    return new Subject(model, parameters, losses, step, seconds, dispose)
  }
}

async function timing<T>(call: () => T | Promise<T>): Promise<{ value: T; seconds: number }> {
  const begin = performance.now()
  const value = await call()
  return { value, seconds: (performance.now() - begin) / 1000 }
}

/** The tensor with its numbers drawn: every program that reads it sees the same. */
async function resident(tensor: fj.Tensor): Promise<fj.Tensor> {
  return fj.tensor(await tensor.data(), { shape: tensor.shape, dtype: tensor.dtype })
}

async function arrayOf(tensor: fj.Tensor): Promise<PeerArray> {
  return { shape: tensor.shape, dtype: tensor.dtype as PeerArray['dtype'], data: await tensor.data() }
}
