// Compiles one training step of a convolution twice, and once for named variants, and runs them. Prints the convolutions' kernels
// and the gradient's distance from that of the naive variants, of its largest element.
import { fj } from './work.mjs'

const x = fj.randn([4, 16, 12, 12])
const weight = fj.randn([16, 16, 3, 3])
async function run(algorithms) {
  const step = fj.compile((x, w) => fj.grad(fj.sum(fj.square(fj.conv2d(x, w, null, { padding: 1 }))), [x, w]), {
    algorithms,
  })
  const gradients = await Promise.all((await step(x, weight)).map((t) => t.data()))
  return { gradients, kernels: step.explain().match(/conv2d\w* (implicit|winograd \dx\d|naive)(, measured)?/g) }
}
const [first, second, naive] = [await run(), await run(), await run({ conv2d: 'naive' })]
const distances = first.gradients.map((gradient, i) => {
  const exact = naive.gradients[i]
  const largest = exact.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
  return gradient.reduce((most, v, at) => Math.max(most, Math.abs(v - exact[at])), 0) / largest
})
console.log(JSON.stringify({ first: first.kernels, second: second.kernels, named: naive.kernels, distances }))
