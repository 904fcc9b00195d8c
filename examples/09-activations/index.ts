// Activations and their slopes, and what a chain of slopes does to a gradient: it vanishes, or it explodes.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
fj.setThreads(1) // chains of single neurons: a second thread would only be waited for

const ACTIVATIONS = {
  sigmoid: fj.sigmoid,
  tanh: fj.tanh,
  ReLU: fj.relu,
  'leaky ReLU': (x: fj.Tensor) => fj.leakyRelu(x, { alpha: 0.1 }),
} as const

// Each curve and its slope, which fj.grad knows: no derivative is written down here.
const z = fj.arange(-4, 4.05, quick ? 0.5 : 0.2)
const values: Record<string, (readonly [number, number])[]> = {}
const slopes: Record<string, (readonly [number, number])[]> = {}
const at = (await z.array()) as number[]
for (const [name, activation] of Object.entries(ACTIVATIONS)) {
  const a = activation(z)
  const [da] = fj.grad(fj.sum(a), [z])
  const [y, dy] = await fj.evaluate([a, da!])
  values[name] = at.map((x, i) => [x, y![i]!])
  slopes[name] = at.map((x, i) => [x, dy![i]!])
  console.log(`${name.padEnd(12)}largest slope ${Math.max(...dy!).toFixed(2)}`)
}
await draw('activations', fj.plot.lines({ title: 'Activations', dots: false, x: 'z', y: 'a', series: values }))
await draw('activations-slopes', fj.plot.lines({ title: 'Their slopes', dots: false, x: 'z', y: "a'", series: slopes }))

// The chain of four neurons: a₀ → σ(w₁a₀ + b₁) → .. → σ(w₄a₃ + b₄) = a₄, C = ½(a₄ - 1)². Its gradient by the rule,
//   ∂C/∂b₁ = σ'(z₁) w₂ σ'(z₂) w₃ σ'(z₃) w₄ σ'(z₄) ∂C/∂a₄,
// and as fj.grad has it.
type Activation = (x: fj.Tensor) => fj.Tensor
function chain(activation: Activation, weight: number, biases: readonly fj.Tensor[]) {
  const sums: fj.Tensor[] = []
  let a = fj.tensor(0.5)
  for (const b of biases) {
    sums.push(fj.add(fj.mul(a, weight), b))
    a = activation(sums.at(-1)!)
  }
  return { cost: fj.mul(0.5, fj.square(fj.sub(a, 1))), a, sums }
}
const biases = [0.1, -0.2, 0.3, -0.1].map((b) => fj.tensor(b))
const four = chain(fj.sigmoid, 1.5, biases)
const [byGraph] = fj.grad(four.cost, [biases[0]!])
let byRule = (await four.a.item()) - 1
for (const [i, sum] of four.sums.entries()) {
  const s = 1 / (1 + Math.exp(-(await sum.item())))
  byRule *= s * (1 - s) * (i === 0 ? 1 : 1.5)
}
console.log(
  `\n∂C/∂b₁ of four sigmoids: ${byRule.toExponential(4)} by the rule, ${(await byGraph!.item()).toExponential(4)} by fj.grad`,
)

// |∂a/∂b₁| by depth. Biases hold every z next to 0, where slopes are largest: each layer multiplies by w·σ'(0).
const depths = Array.from({ length: quick ? 6 : 15 }, (_, i) => i + 1)
async function reach(activation: Activation, weight: number): Promise<[number, number][]> {
  const perDepth = depths.map((depth) => {
    const z1 = fj.tensor(1e-6)
    let a = activation(z1)
    const centre = activation(fj.tensor(0))
    for (let layer = 1; layer < depth; layer++) a = activation(fj.mul(fj.sub(a, centre), weight))
    return fj.abs(fj.grad(a, [z1])[0]!)
  })
  const gradients = await fj.evaluate(perDepth)
  return gradients.map(([g], i) => [depths[i]!, g!])
}
const series = {
  'sigmoid, w = 1': await reach(fj.sigmoid, 1),
  'sigmoid, w = 4': await reach(fj.sigmoid, 4),
  'sigmoid, w = 8': await reach(fj.sigmoid, 8),
  'tanh, w = 1': await reach(fj.tanh, 1),
  'ReLU, w = 1': await reach(fj.relu, 1),
}
for (const [name, points] of Object.entries(series)) {
  console.log(`${name.padEnd(16)}${points.at(-1)![1].toExponential(2)} after ${points.at(-1)![0]} layers`)
}
await draw(
  'activations-chain',
  fj.plot.lines({
    title: 'How much of a gradient reaches the first layer',
    x: 'layers',
    y: '|∂a/∂b₁|',
    yScale: 'log',
    series,
  }),
)
const [vanished, exploded] = [series['sigmoid, w = 1'], series['sigmoid, w = 8']].map((points) => points.at(-1)![1])
finish(
  `After ${depths.length} sigmoids ${vanished!.toExponential(1)} is left with w = 1, ${exploded!.toExponential(1)} with w = 8`,
)
