// y = F(x) + x: the same deep network with and without the +x.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

/** Grey images of 28×28 as three channels of 14×14: the network was made for colours. */
class Digits extends fj.nn.Module<[x: fj.Tensor]> {
  constructor(readonly net: fj.models.ResNetCifar) {
    super()
  }

  override forward(x: fj.Tensor): fj.Tensor {
    const small = fj.avgPool2d(x, { kernelSize: quick ? 4 : 2 })
    return this.net.forward(fj.concat([small, small, small], { axis: 1 }))
  }
}

const [make, depth] = quick ? [fj.models.resnet20Cifar, 20] : [fj.models.resnet56Cifar, 56]
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 128, test: 64, seed: 1 })
  : await fj.data.syntheticDigits({ train: 3000, test: 1000, seed: 1 })
console.log(
  String(
    make()
      .summary({ input: [3, 32, 32], name: `ResNet-${depth}` })
      .toString()
      .split('\n')
      .at(-1),
  ),
)

const curves: Record<string, fj.History> = {}
for (const residual of [false, true]) {
  const name = residual ? `residual, ${depth} layers` : `plain, ${depth} layers`
  console.log(`\n${name}`)
  fj.setSeed(1)
  using model = new Digits(make({ residual }))
  curves[name] = await fj.fit(model, train, {
    epochs: quick ? 1 : 6,
    batchSize: quick ? 32 : 64,
    optimizer: new fj.optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 }),
    validation: test,
    metrics: ['accuracy'],
    seed: 1,
  })
}

await draw(
  'resnet',
  fj.plot.lines({
    title: `${depth} layers, with and without the shortcut`,
    x: 'epoch',
    y: 'training loss',
    series: Object.fromEntries(Object.entries(curves).map(([name, history]) => [name, history.loss])),
  }),
)
const percent = (history: fj.History) => `${(100 * history.valAccuracy.at(-1)!).toFixed(1)} %`
const [plain, residual] = Object.values(curves) as [fj.History, fj.History]
finish(`Test accuracy after ${plain.epochs.length} epochs: plain ${percent(plain)}, residual ${percent(residual)}`)
