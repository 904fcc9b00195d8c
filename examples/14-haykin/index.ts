// Haykin's character recogniser: how few numbers a network needs that looks everywhere with the same eyes.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 1000, test: 300, seed: 1 })
  : await fj.data.mnist()

// 1×28×28 → 4@24×24 → 4@12×12 → 12@8×8 → 12@4×4 → 26
console.log(String(fj.models.haykin().summary({ input: [1, 28, 28] })))

// With ten classes it is the network that read ZIP codes in 1990.
const model = fj.models.haykin({ classes: 10 })
const { parameters } = model.summary({ input: [1, 28, 28] })
const inputs = [26, 5, (20 * 25 + 12) / 12, 5, 193] // of a unit in each layer, its bias among them
const units = [4 * 24 * 24, 4 * 12 * 12, 12 * 8 * 8, 12 * 4 * 4, 10]
const connections = units.reduce((sum, count, layer) => sum + count * inputs[layer]!, 0)
console.log(`\n${connections.toLocaleString('en')} connections share ${parameters.toLocaleString('en')} numbers.\n`)

const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.02, momentum: 0.9 })
await fj.fit(model, train, {
  epochs: quick ? 2 : 6,
  batchSize: 32,
  optimizer,
  schedule: new fj.schedule.StepLR(optimizer, { stepSize: 2, gamma: 0.4 }),
  validation: test,
  metrics: ['accuracy'],
  seed: 1,
})

// One digit on its way: four maps of edges, then twelve of combinations.
const { x, xShape } = test.gather(Int32Array.of(0))
const digit = fj.tensor(x, { shape: xShape })
const first = fj.tanh(model.conv1.forward(digit))
const second = fj.tanh(model.conv2.forward(fj.tanh(model.pool1.forward(first))))
const maps = async (tensor: fj.Tensor) => ((await tensor.array()) as number[][][][])[0]!
const large = fj.interpolate(second, { size: [24, 24], mode: 'nearest' })
const seen = [...(await maps(digit)), ...(await maps(first)), ...(await maps(large))]
const labels = [
  'input',
  ...[1, 2, 3, 4].map((i) => `layer 1: ${i}`),
  ...seen.slice(5).map((_, i) => `layer 2: ${i + 1}`),
]
await draw('haykin', fj.plot.images({ images: seen, labels, columns: 5 }))

const { accuracy } = await fj.evaluateModel(model, test, { metrics: ['accuracy'] })
finish(`Test accuracy ${(100 * accuracy!).toFixed(2)} % with ${parameters.toLocaleString('en')} parameters`)
