// AlexNet, VGG and GoogLeNet: what deeper networks cost, in numbers to learn and in arithmetic, and one step of each.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const NAMES = fj.models
  .list()
  .filter(({ input, classes }) => input[1]! >= 224 && classes === 1000)
  .map(({ name }) => name)

// Shapes are inferred, nothing is computed: a summary of 138 million parameters takes milliseconds.
const summaries = NAMES.map((name) => {
  const { input } = fj.models.list().find((model) => model.name === name)!
  return { name, input, ...fj.models.create(name).summary({ input, name }).toJSON() } as {
    name: string
    input: number[]
    parameters: number
    macs: number
  }
})
console.log(String(fj.models.alexnet2012().summary({ input: [3, 227, 227] })))
console.log(`\n${'network'.padEnd(16)}${'parameters'.padStart(14)}${'MACs an image'.padStart(18)}`)
for (const { name, parameters, macs } of summaries) {
  console.log(name.padEnd(16) + parameters.toLocaleString('en').padStart(14) + macs.toLocaleString('en').padStart(18))
}
const families = { AlexNet: /^alexnet/, VGG: /^vgg/, GoogLeNet: /^googlenet/, ResNet: /^resnet/ }
const series = Object.entries(families).map(([family, names]) => {
  const members = summaries.filter(({ name }) => names.test(name))
  return [family, members.map(({ parameters, macs }): [number, number] => [parameters / 1e6, macs / 1e9])] as const
})
await draw(
  'imagenet-networks',
  fj.plot.points({
    title: 'Size and work',
    x: 'parameters, millions',
    y: 'multiply-accumulates an image, billions',
    series: Object.fromEntries(series),
  }),
)

/** Forward, backward and update, one native program; GoogLeNet's auxiliary heads count 0.3 each. */
function trainingStep(model: fj.models.Network, optimizer: fj.optim.Optimizer) {
  return fj.compile((x: fj.Tensor, y: fj.Tensor) => {
    const { logits, auxiliary } =
      'heads' in model
        ? (model as fj.models.GoogLeNet).heads(x)
        : { logits: model.forward(x), auxiliary: [] as fj.Tensor[] }
    const loss = auxiliary.reduce(
      (sum, head) => fj.add(sum, fj.mul(fj.crossEntropy(head, y), 0.3)),
      fj.crossEntropy(logits, y),
    )
    optimizer.minimize(loss)
    return { loss }
  })
}

fj.setSeed(1)
const batch = 2
const results: string[] = []
console.log(`\nOne training step, ${batch} images of noise:`)
for (const name of quick ? (['googlenet'] as const) : (['alexnet2012', 'alexnet', 'vgg16', 'googlenet'] as const)) {
  const auxiliary = name === 'googlenet' ? { auxiliary: true } : {}
  const { input, macs } = summaries.find((summary) => summary.name === name)!
  const size = quick ? [3, 32, 32] : input
  using model = fj.models.create(name, { ...(quick ? { classes: 10 } : {}), ...auxiliary })
  using optimizer = new fj.optim.SGD(model.parameters(), { lr: 1e-4 })
  const step = trainingStep(model, optimizer)
  const [x, y] = [fj.randn([batch, ...size]), fj.randint(0, 10, [batch])]
  await Promise.all([x.data(), y.data()])
  await step(x, y) // traces, compiles, makes the weights
  const start = performance.now()
  const { loss } = await step(x, y)
  const seconds = (performance.now() - start) / 1000
  // Forward once, backward twice; a multiply-accumulate is two operations.
  const rate = quick ? '' : `, ${((batch * 3 * 2 * macs) / seconds / 1e9).toFixed(0)} GFLOP/s`
  console.log(`  ${name.padEnd(14)} ${seconds.toFixed(2)} s${rate}, loss ${(await loss.item()).toFixed(3)}`)
  results.push(`${name} ${seconds.toFixed(2)} s`)
  step.dispose()
}
finish(`One step: ${results.join(', ')}`)
