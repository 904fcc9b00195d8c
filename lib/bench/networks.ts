/** Whole networks on one batch in memory: training steps and inference. */
import * as fj from '../index.js'
import { checkParity } from './harness.js'
import type { PeerArray } from './peers.js'
import { attempt, type Case, measure, type SuiteContext } from './suite.js'

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

const INFER: readonly NetworkCase[] = [
  { model: 'lenet5', batch: 128 },
  { model: 'lenet5', batch: 1 },
  { model: 'resnet18Cifar', batch: 64 },
  { model: 'vgg16', batch: 4 },
]

const LEARNING_RATE = 0.01
/** Training steps whose losses are compared. */
const STEPS = 3
/** Losses and logits of deep networks, after hundreds of sums in another order. */
const TOLERANCE = 1e-3

export function trainSuite(context: SuiteContext): Promise<void> {
  return networkSuite(context, 'train', TRAIN)
}

export function inferSuite(context: SuiteContext): Promise<void> {
  return networkSuite(context, 'infer', INFER)
}

type Kind = 'train' | 'infer'

async function networkSuite(context: SuiteContext, kind: Kind, cases: readonly NetworkCase[]): Promise<void> {
  for (const kase of cases) {
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
  const subject = await Subject.create(kind, architecture, x, labels, { device: context.device })
  try {
    const { macs } = subject.model.summary({ input })
    await measure(context, {
      suite: kind,
      name,
      entrants: [{ variant: 'forja', result: subject.result, call: subject.call }],
      task: {
        case: { kind: 'network', model: architecture, train: kind === 'train', lr: LEARNING_RATE, steps: STEPS },
        arrays: { ...subject.parameters, x: await arrayOf(x), labels: await arrayOf(labels) },
      },
      tolerance: TOLERANCE,
      checkWithoutPeer: async (result, what) => ({
        against: 'plain variants',
        error: checkParity(what, result, await plainResult(context, kind, architecture, x, labels), TOLERANCE),
      }),
      // Forward, and for training the two gradients, each as much again.
      flops: 2 * macs * batch * (kind === 'train' ? 3 : 1),
      samples: batch,
    } satisfies Case)
  } finally {
    subject.dispose()
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
  const algorithms = { matmul: 'blocked', conv2d: 'im2col', conv2dGradInput: 'im2col', conv2dGradWeight: 'im2col' }
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
    readonly call: () => Promise<undefined>,
    readonly dispose: () => void,
  ) {}

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
      const result = await (await forward()).data()
      const dispose = () => {
        forward.dispose()
        model.dispose()
      }
      return new Subject(model, parameters, result, async () => void (await forward()) as undefined, dispose)
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
    for (let i = 0; i < STEPS; i++) losses.push(await (await step()).loss.item())
    return new Subject(model, parameters, losses, async () => void (await step()) as undefined, dispose)
  }
}

/** The tensor with its numbers drawn: every program that reads it sees the same. */
async function resident(tensor: fj.Tensor): Promise<fj.Tensor> {
  return fj.tensor(await tensor.data(), { shape: tensor.shape, dtype: tensor.dtype })
}

async function arrayOf(tensor: fj.Tensor): Promise<PeerArray> {
  return { shape: tensor.shape, dtype: tensor.dtype as PeerArray['dtype'], data: await tensor.data() }
}
