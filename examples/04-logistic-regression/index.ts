// Logistic regression: one neuron with a sigmoid, trained on the whole set, on batches of 5, and on one example a time.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(2)
fj.setThreads(1) // three weights: a second thread would only be waited for
const n = quick ? 20 : 50
const epochs = quick ? 10 : 40

// Two overlapping clouds. The bias is the first weight: every sample begins with a 1.
const centres = fj.tensor(
  Float32Array.from({ length: 4 * n }, (_, i) => (i < 2 * n ? -1 : 1)),
  { shape: [2 * n, 2] },
)
const points = fj.add(fj.randn([2 * n, 2]), centres)
const samples = fj.concat([fj.ones([2 * n, 1]), points], { axis: 1 })
const dataset = fj.data.fromArrays({
  x: (await samples.data()) as Float32Array,
  y: Float32Array.from({ length: 2 * n }, (_, i) => (i < n ? 0 : 1)),
  shape: [3],
})

/** ŷ = σ(w·x). */
const predict = (x: fj.Tensor, w: fj.Tensor) => fj.sigmoid(fj.matmul(x, w))
/** -mean(t log ŷ + (1 - t) log(1 - ŷ)), from w·x itself, which no rounding of ŷ can make infinite. */
const cost = (x: fj.Tensor, t: fj.Tensor, w: fj.Tensor) => fj.binaryCrossEntropyWithLogits(fj.matmul(x, w), t)

interface Run {
  /** Cost of all samples after each epoch. */
  costs: number[]
  /** After each of the first updates. */
  early: number[]
  updates: number
  w: [number, number, number]
  accuracy: number
}

async function descend(batchSize: number): Promise<Run> {
  const w = fj.variable(fj.tensor([0, 2, -2]), { name: 'w' })
  const optimizer = new fj.optim.SGD([w], { lr: 0.1 })
  const step = fj.compile((x: fj.Tensor, t: fj.Tensor) => {
    optimizer.minimize(cost(x, t, w))
    return null
  })
  const all = (await fj.evaluate([samples]))[0] as Float32Array
  const [x, t] = [fj.tensor(all, { shape: [2 * n, 3] }), fj.tensor(dataset.y as Float32Array)]
  const measure = fj.compile(() => {
    const right = fj.equal(fj.greater(predict(x, w), 0.5), fj.greater(t, 0.5))
    return [cost(x, t, w), fj.mean(fj.cast(right, 'float32'))]
  })
  const measured = async () => Promise.all((await measure()).map((value) => value!.item()))
  const costs = [(await measured())[0]!]
  const early = [...costs]
  let updates = 0
  for (let epoch = 0; epoch < epochs; epoch++) {
    for await (const batch of dataset.batches({ batchSize, shuffle: true, seed: 1, epoch })) {
      await step(fj.tensor(batch.x, { shape: batch.xShape }), fj.tensor(batch.y))
      updates++
      if (updates <= 40) early.push((await measured())[0]!)
    }
    costs.push((await measured())[0]!)
  }
  const accuracy = (await measured())[1]!
  step.dispose()
  measure.dispose()
  return { costs, early, updates, w: (await w.array()) as Run['w'], accuracy }
}

const runs: Record<string, Run> = {
  'full batch': await descend(2 * n),
  'batches of 5': await descend(5),
  'one example': await descend(1),
}
for (const [name, { updates, costs, accuracy }] of Object.entries(runs)) {
  const figures = `${updates} updates, cost ${costs.at(-1)!.toFixed(4)}, ${(100 * accuracy).toFixed(1)} % right`
  console.log(`${name.padEnd(14)}${figures}`)
}

const curves = (pick: (run: Run) => number[]) =>
  Object.fromEntries(
    Object.entries(runs).map(([name, run]) => [name, pick(run).map((value, i) => [i, value] as const)]),
  )
await draw(
  'logistic-regression-epochs',
  fj.plot.lines({ title: 'Cost after each epoch', x: 'epoch', y: 'cost', series: curves((run) => run.costs) }),
)
await draw(
  'logistic-regression-updates',
  fj.plot.lines({
    title: 'Cost after each of the first 40 updates',
    dots: false,
    x: 'update',
    y: 'cost',
    series: curves((run) => run.early),
  }),
)

const [w0, w1, w2] = runs['batches of 5']!.w
const rows = (await points.array()) as [number, number][]
await draw(
  'logistic-regression-boundary',
  fj.plot.points({
    title: 'Samples, and where ŷ = ½',
    x: 'x₁',
    y: 'x₂',
    series: { 'class 0': rows.slice(0, n), 'class 1': rows.slice(n) },
    // w₀ + w₁x₁ + w₂x₂ = 0
    lines: { boundary: [-2.5, 2.5].map((x) => [x, -(w0 + w1 * x) / w2] as const) },
  }),
)
finish(`${(100 * runs['batches of 5']!.accuracy).toFixed(1)} % of the training samples right with batches of 5`)
