/** Training steps and inference of whole networks on one batch in memory, against PyTorch eager. */
import * as fj from '../../lib/index.js'
import { asyncContender, type Contender, checkParity, race, ratioOf } from '../harness.js'
import type { PeerArray } from '../peers/pytorch.js'
import type { Row, SuiteContext } from '../report.js'

interface NetworkCase {
  model: 'lenet5' | 'mlp' | 'resnet18Cifar'
  batch: number
  train: boolean
}

const CASES: readonly NetworkCase[] = [
  { model: 'lenet5', batch: 128, train: true },
  { model: 'lenet5', batch: 8, train: true },
  { model: 'mlp', batch: 128, train: true },
  { model: 'lenet5', batch: 128, train: false },
  { model: 'lenet5', batch: 1, train: false },
  { model: 'resnet18Cifar', batch: 64, train: true },
  { model: 'resnet18Cifar', batch: 64, train: false },
]

const INPUTS = { lenet5: [1, 28, 28], mlp: [1, 28, 28], resnet18Cifar: [3, 32, 32] } as const
const LEARNING_RATE = 0.01

export async function trainSuite(context: SuiteContext): Promise<void> {
  for (const kase of CASES) {
    const { model: architecture, batch, train } = kase
    const name = `${architecture} b${batch} ${train ? 'train' : 'forward'}`
    if (!context.wants(name)) continue
    fj.setSeed(1)
    const model = fj.models.create(architecture)
    const arrays: Record<string, PeerArray> = {}
    for (const [i, parameter] of model.parameters().entries()) {
      arrays[`parameter${i}`] = { shape: parameter.shape, dtype: 'float32', data: await parameter.data() }
    }
    const x = fj.randn([batch, ...INPUTS[architecture]])
    const labels = fj.randint(0, 10, [batch])
    arrays.x = { shape: x.shape, dtype: 'float32', data: await x.data() }
    arrays.labels = { shape: labels.shape, dtype: 'int32', data: await labels.data() }

    const { call, result } = train ? await trainingStep(model, x, labels) : await forwardPass(model, x)
    const contenders: Contender[] = [asyncContender('forja', call)]
    const { peer } = context
    if (peer) {
      const theirs = await peer.prepare({ kind: 'network', model: architecture, train, lr: LEARNING_RATE }, arrays)
      checkParity(name, result, theirs, 1e-3)
      contenders.push({ name: 'pytorch', turn: (seconds) => peer.time(seconds) })
    }
    const timings = await race(contenders, context.seconds)
    const torch = timings.find((t) => t.name === 'pytorch')
    for (const timing of timings) {
      const throughput = batch / (timing.p50Ms / 1000)
      const row: Row = {
        suite: 'train',
        case: name,
        variant: timing.name,
        dtype: 'float32',
        p50Ms: timing.p50Ms,
        throughput,
      }
      if (torch && timing !== torch) row.ratio = ratioOf(torch, timing)
      context.report(row)
    }
    model.dispose()
  }
}

interface Timed {
  call: () => Promise<undefined>
  /** What the peer's numbers are compared with. */
  result: ArrayLike<number>
}

async function trainingStep(model: fj.nn.Module, x: fj.Tensor, labels: fj.Tensor): Promise<Timed> {
  const optimizer = new fj.optim.SGD(model.parameters(), { lr: LEARNING_RATE, momentum: 0.9 })
  const step = fj.compile(() => {
    const loss = fj.crossEntropy(model.forward(x), labels)
    optimizer.minimize(loss)
    return { loss }
  })
  const losses: number[] = []
  for (let i = 0; i < 3; i++) losses.push(await (await step()).loss.item())
  return {
    result: losses,
    call: async () => {
      await step()
      return undefined
    },
  }
}

async function forwardPass(model: fj.nn.Module, x: fj.Tensor): Promise<Timed> {
  model.eval()
  const forward = fj.compile(() => model.forward(x))
  return {
    result: (await (await forward()).data()).slice(0, 64),
    call: async () => {
      await forward()
      return undefined
    },
  }
}
