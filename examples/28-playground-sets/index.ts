// The four sets of the TensorFlow Playground, and the surfaces that a small network draws over them.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const SETS = ['circle', 'xor', 'gauss', 'spiral']
const GRID = quick ? 12 : 60
/** Centres of the cells, x₁ from left to right, x₂ from top to bottom. */
const at = (i: number) => -6 + (12 * (i + 0.5)) / GRID
const grid = Float32Array.from({ length: GRID * GRID * 2 }, (_, i) =>
  i % 2 === 0 ? at((i >> 1) % GRID) : -at(Math.floor((i >> 1) / GRID)),
)

const results: string[] = []
const surfaces: number[][][] = []
for (const name of SETS) {
  const { train, test } = fj.data.playground(name, { noise: 10, seed: 1 })
  fj.setSeed(1)
  const model = new fj.nn.Sequential(
    new fj.nn.Linear(2, 16),
    new fj.nn.Tanh(),
    new fj.nn.Linear(16, 16),
    new fj.nn.Tanh(),
    new fj.nn.Linear(16, 2),
  )
  await fj.fit(model, train, {
    epochs: quick ? 2 : 200,
    batchSize: 10,
    optimizer: new fj.optim.Adam(model.parameters(), { lr: 0.01 }),
    seed: 1,
    verbose: 0,
  })
  const { accuracy } = await fj.evaluateModel(model, test, { loss: 'crossEntropy', metrics: ['accuracy'] })
  results.push(`${name} ${(100 * accuracy!).toFixed(1)} %`)

  // How sure the network is of class 1, everywhere.
  const scores = await fj.predict(model, fj.tensor(grid, { shape: [GRID * GRID, 2] }))
  const sure = (await fj.softmax(scores, { axis: 1 }).array()) as number[][]
  const surface = Array.from({ length: GRID }, (_, r) => sure.slice(r * GRID, (r + 1) * GRID).map((pair) => pair[1]!))
  // The points it learnt from, in light grey for class 1 and dark grey for class 0.
  const cell = (value: number) => Math.min(Math.max(Math.floor(((value + 6) / 12) * GRID), 0), GRID - 1)
  for (let i = 0; i < train.length; i++) {
    surface[cell(-train.x[2 * i + 1]!)]![cell(train.x[2 * i]!)] = train.y[i] === 1 ? 0.65 : 0.35
  }
  surfaces.push(surface)
}

await draw(
  'playground-sets',
  fj.plot.images({
    title: 'White: class 1, black: class 0; grey: the points learnt from',
    images: surfaces,
    labels: results,
    columns: 2,
    scale: 5,
  }),
)
finish(`Test accuracy: ${results.join(', ')}`)
