// The experiment that brought deep networks back: layer by layer without labels first, then back-propagation.
import * as fj from 'forja'
import { images, unitDigits } from '../digits.js'
import { draw, finish, quick } from '../example.js'

const { train, test } = await unitDigits(quick ? 300 : 10_000, quick ? 200 : 10_000)
const width = quick ? 24 : 128
const depths = quick ? [1, 2] : [1, 2, 3, 4, 5]
const seconds = (start: number) => `${((performance.now() - start) / 1000).toFixed(1)} s`

/** Back-propagation with labels, the same for both. */
async function fineTune(network: fj.models.MLP): Promise<{ curve: number[]; time: string }> {
  const start = performance.now()
  const optimizer = new fj.optim.SGD(network.parameters(), { lr: 0.1, momentum: 0.9 })
  const options = { batchSize: 64, validation: test, metrics: ['accuracy'], seed: 1, verbose: 0 } as const
  const history = await fj.fit(network, train, { ...options, epochs: quick ? 2 : 8, optimizer })
  return { curve: history.valAccuracy, time: seconds(start) }
}

console.log(`${'layers'.padEnd(10)}${'DBN pre-training'.padStart(28)}${'random start'.padStart(24)}`)
const curves: Record<string, number[]> = {}
let result = ''
for (const depth of depths) {
  const sizes = [784, ...new Array<number>(depth).fill(width)]
  // Each machine learns by CD-1 what the one below makes of the digits.
  fj.setSeed(1)
  const dbn = fj.models.deepBeliefNetwork({ sizes, k: 1 })
  const start = performance.now()
  await dbn.pretrain(train, {
    epochs: quick ? 1 : 3,
    batchSize: 64,
    optimizer: (parameters) => new fj.optim.SGD(parameters, { lr: 0.1, momentum: 0.5 }),
    seed: 1,
    verbose: 0,
  })
  const before = seconds(start)
  const pretrained = await fineTune(await dbn.classifier())

  // The same network from random weights, of Xavier's variance.
  const network = fj.models.mlp({ hidden: sizes.slice(1), activation: 'sigmoid' })
  for (const { weight } of network.layers) await weight.assign(fj.nn.init.xavierUniform()(weight.shape))
  const random = await fineTune(network)

  const show = ({ curve, time }: { curve: number[]; time: string }) => `${(100 * curve.at(-1)!).toFixed(2)} % (${time})`
  const label = `${depth}×${width}`
  console.log(
    label.padEnd(10) +
      show({ ...pretrained, time: `${before} + ${pretrained.time}` }).padStart(28) +
      show(random).padStart(24),
  )
  curves[`${label}, DBN`] = pretrained.curve
  curves[`${label}, random`] = random.curve
  result = `${depth} sigmoid layers: DBN pre-training ${(100 * pretrained.curve.at(-1)!).toFixed(2)} %, random start ${(100 * random.curve.at(-1)!).toFixed(2)} %`

  if (depth === depths[0]) {
    const weights = fj.slice(dbn.layers[0]!.weight, { ends: [20] })
    await draw(
      'boltzmann-machine',
      fj.plot.images({ title: 'What hidden units look for', images: await images(weights), scale: 2 }),
    )
  }
}
await draw(
  'deep-belief-network',
  fj.plot.lines({ title: 'Sigmoid networks', x: 'epoch', y: 'test accuracy', series: curves }),
)
finish(result)
