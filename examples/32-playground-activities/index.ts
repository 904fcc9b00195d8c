// The Playground's classroom activities, by numbers: what one neuron can, what hidden ones add, and what L1 and L2 save.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setThreads(1) // tens of weights: a second thread would only be waited for
const EPOCHS = quick ? 2 : 100
const SEEDS = quick ? [1] : [1, 2, 3, 4, 5]
const percent = (share: number) => `${(100 * share).toFixed(1)} %`

const ACTIVATIONS = {
  linear: undefined,
  ReLU: fj.nn.ReLU,
  tanh: fj.nn.Tanh,
  sigmoid: fj.nn.Sigmoid,
} as const

/** Layers of these sizes from a point of the plane to two classes, with an activation behind each hidden one. */
function network(hidden: readonly number[], activation: keyof typeof ACTIVATIONS, seed: number): fj.nn.Sequential {
  fj.setSeed(seed)
  const Activation = ACTIVATIONS[activation]
  const layers = hidden.flatMap((size, i) => {
    const layer = new fj.nn.Linear(hidden[i - 1] ?? 2, size)
    return Activation ? [layer, new Activation()] : [layer]
  })
  return new fj.nn.Sequential(...layers, new fj.nn.Linear(hidden.at(-1) ?? 2, 2))
}

interface Figures {
  training: number
  test: number
  accuracy: number
}

/** Trains on half of the points and asks about the other half. `penalty` is added to the loss, for the weights alone. */
async function learn(
  model: fj.nn.Sequential,
  { train, test }: fj.data.Splits,
  penalty: (weights: fj.Variable[]) => fj.Tensor = () => fj.tensor(0),
): Promise<Figures> {
  const weights = model.parameters().filter(({ rank }) => rank === 2)
  await fj.fit(model, train, {
    loss: (scores, labels) => fj.add(fj.crossEntropy(scores, labels), penalty(weights)),
    epochs: EPOCHS,
    batchSize: 10,
    optimizer: new fj.optim.Adam(model.parameters(), { lr: 0.01 }),
    seed: 1,
    verbose: 0,
  })
  const options = { loss: 'crossEntropy', metrics: ['accuracy'] } as const
  const [seen, unseen] = [await fj.evaluateModel(model, train, options), await fj.evaluateModel(model, test, options)]
  return { training: seen.loss, test: unseen.loss, accuracy: unseen.accuracy! }
}

console.log('Case 1: one layer, no hidden neuron')
for (const name of ['gauss', 'xor'] as const) {
  const { accuracy } = await learn(network([], 'linear', 1), fj.data.playground(name, { seed: 1 }))
  console.log(`  ${name.padEnd(8)} ${percent(accuracy).padStart(8)} of the test points`)
}

console.log(`\nCase 2: XOR with 6 hidden neurons, ${SEEDS.length} starts`)
const xor = fj.data.playground('xor', { seed: 1 })
const GRID = quick ? 12 : 40
const at = (i: number) => -6 + (12 * (i + 0.5)) / GRID
const grid = Array.from({ length: GRID * GRID }, (_, i) => [at(i % GRID), -at(Math.floor(i / GRID))])
const surfaces: number[][][] = []
const solved: Record<string, number> = {}
for (const activation of Object.keys(ACTIVATIONS) as (keyof typeof ACTIVATIONS)[]) {
  const accuracies: number[] = []
  for (const seed of SEEDS) {
    const model = network([6], activation, seed)
    accuracies.push((await learn(model, xor)).accuracy)
    if (seed > 1) continue
    const sure = fj.softmax(await fj.predict(model, fj.tensor(grid)), { axis: 1 })
    const ofOne = fj.slice(sure, { starts: [0, 1] })
    surfaces.push((await fj.reshape(ofOne, [GRID, GRID]).array()) as number[][])
  }
  solved[activation] = Math.max(...accuracies)
  console.log(`  ${activation.padEnd(8)} ${accuracies.map((accuracy) => percent(accuracy).padStart(8)).join('')}`)
}
await draw(
  'playground-activities',
  fj.plot.images({
    title: 'XOR by 6 hidden neurons. White: class 1, black: class 0',
    images: surfaces,
    labels: Object.keys(ACTIVATIONS),
    columns: 4,
    scale: 4,
  }),
)

// A fifth of the points, and noisy ones: enough neurons to go round each of them.
console.log(
  '\nRegularisation: 60 noisy points of XOR to learn from, 16 + 16 tanh neurons\n  rate     training      test',
)
const noisy = fj.data.playground('xor', { samples: 600, noise: 35, test: 0.9, seed: 1 })
const penalties = { L1: fj.l1Penalty, L2: fj.l2Penalty }
const none = await learn(network([16, 16], 'tanh', 1), noisy)
const row = (name: string, { training, test }: Figures) =>
  console.log(`  ${name.padEnd(9)} ${training.toFixed(3).padStart(7)} ${test.toFixed(3).padStart(9)}`)
row('none', none)
const curves: Record<string, [number, number][]> = {}
const RATES = quick ? [0.01] : [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
for (const [name, penalty] of Object.entries(penalties)) {
  for (const rate of RATES) {
    const figures = await learn(network([16, 16], 'tanh', 1), noisy, (weights) => penalty(weights, rate))
    row(`${name} ${rate}`, figures)
    for (const set of ['training', 'test'] as const) (curves[`${name}, ${set}`] ??= []).push([rate, figures[set]])
  }
}
const flat = (y: number) => [RATES[0]!, RATES.at(-1)!].map((rate): [number, number] => [rate, y])
const series = { ...curves, 'none, training': flat(none.training), 'none, test': flat(none.test) }
const titles = { title: 'Sixty noisy points', x: 'rate of the penalty', y: 'cross entropy' }
await draw('playground-regularisation', fj.plot.lines({ ...titles, xScale: 'log', series }))
finish(
  `XOR at best: ${Object.entries(solved)
    .map(([name, share]) => `${name} ${percent(share)}`)
    .join(', ')}`,
)
