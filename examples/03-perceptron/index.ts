// Rosenblatt's perceptron: one neuron with a step, and a rule that turns its line whenever it is wrong.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(2)
fj.setThreads(1) // three weights: a second thread would only be waited for
const n = quick ? 20 : 60

// Two clouds of points that a line can tell apart. The bias is the first weight: every point begins with a 1.
const labels = Float32Array.from({ length: 2 * n }, (_, i) => (i < n ? 0 : 1))
const centres = fj.tensor(
  Float32Array.from({ length: 4 * n }, (_, i) => (i < 2 * n ? -1.2 : 1.2)),
  { shape: [2 * n, 2] },
)
const inputs = fj.add(fj.mul(fj.randn([2 * n, 2]), 0.55), centres)
const samples = fj.concat([fj.ones([2 * n, 1]), inputs], { axis: 1 })

const rate = 0.1
const w = fj.variable(fj.tensor([0.5, -1, 1]), { name: 'w' })

/** y = 1 where w·x > 0, else 0; then w ← w + η (t - y) x: nothing changes where the answer is right. */
const learn = fj.compile((x: fj.Tensor, t: fj.Tensor) => {
  const y = fj.cast(fj.greater(fj.sum(fj.mul(w, x)), 0), 'float32')
  const error = fj.sub(t, y)
  void w.assign(fj.add(w, fj.mul(fj.mul(error, rate), x)))
  return fj.abs(error)
})

/** Mistakes in each epoch, until there are none. */
async function train(points: fj.Tensor, targets: Float32Array, epochs: number): Promise<number[]> {
  const rows = fj.split(points, points.shape[0]!, { axis: 0 }).map((row) => fj.reshape(row, [3]))
  await fj.evaluate(rows)
  const mistakes: number[] = []
  while (mistakes.length < epochs && mistakes.at(-1) !== 0) {
    let wrong = 0
    for (const [i, row] of rows.entries()) wrong += await (await learn(row, fj.tensor(targets[i]!))).item()
    mistakes.push(wrong)
  }
  return mistakes
}

const mistakes = await train(samples, labels, 50)
console.log(`two clouds: mistakes in each epoch ${mistakes.join(', ')}`)
const [w0, w1, w2] = (await w.array()) as [number, number, number]
const term = (weight: number, x: string) => `${weight < 0 ? '−' : '+'} ${Math.abs(weight).toFixed(2)} ${x}`
console.log(`the line: ${w0.toFixed(2)} ${term(w1, 'x₁')} ${term(w2, 'x₂')} = 0`)

// No line tells the classes of XOR apart: the rule goes round in circles.
const xor = fj.tensor([
  [1, 0, 0],
  [1, 0, 1],
  [1, 1, 0],
  [1, 1, 1],
])
await w.assign(fj.tensor([0.05, -0.1, 0.1]))
const never = await train(xor, Float32Array.of(0, 1, 1, 0), 20)
console.log(`XOR: mistakes in each epoch ${never.join(', ')}`)

const rows = (await inputs.array()) as [number, number][]
/** Where w₀ + w₁x₁ + w₂x₂ is 0, cut to the square that is drawn. */
const boundary = Array.from({ length: 201 }, (_, i) => -3 + (6 * i) / 200)
  .map((x) => [x, -(w0 + w1 * x) / w2] as const)
  .filter(([, y]) => Math.abs(y) <= 3)
await draw(
  'perceptron',
  fj.plot.points({
    title: 'Two classes and the line that the perceptron found',
    x: 'x₁',
    y: 'x₂',
    series: { 'class 0': rows.slice(0, n), 'class 1': rows.slice(n) },
    lines: { boundary },
  }),
)
learn.dispose()
finish(`No mistake left after ${mistakes.length} epochs; XOR still has ${never.at(-1)} of 4`)
