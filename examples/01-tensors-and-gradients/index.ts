// Tensors, graphs and gradients: what everything else is built of.
import * as fj from 'forja'
import { draw, finish } from '../example.js'

// A tensor has a shape and a dtype. Operations build a graph; reading a value compiles and runs it natively.
const a = fj.tensor([
  [1, 2],
  [3, 4],
])
const row = fj.tensor([10, 20])
console.log('a', a.shape, a.dtype)
console.log('a + row, the row repeated for each row of a:', JSON.stringify(await a.add(row).array()))
console.log('a · a, the product of matrices:', JSON.stringify(await a.matmul(a).array()))
console.log('column means:', JSON.stringify(await a.mean({ axes: 0 }).array()))

// f(x) = x² - 2 and its slope f'(x) = 2x. The gradient is graph too, so it can be differentiated again.
const f = (x: fj.Tensor) => fj.sub(fj.square(x), 2)
const points = fj.tensor([-1.5, 0, 1.5])
const [slope] = fj.grad(fj.sum(f(points)), [points])
const [curvature] = fj.grad(fj.sum(slope!), [points])
console.log('\nx   ', await points.array())
console.log('f   ', await f(points).array())
console.log("f'  ", await slope!.array())
console.log("f'' ", await curvature!.array())

// Whoever writes an operation of his own lets numbers confirm its slope: (f(x + ε) - f(x - ε)) / 2ε.
await fj.gradcheck((x) => fj.tanh(f(x!)), [points])

// Newton's method walks along the tangent to where f is 0: x ← x - f(x) / f'(x). One step is one native program.
const x = fj.variable(fj.tensor(3), { name: 'x' })
const step = fj.compile(() => {
  const y = f(x)
  const [dy] = fj.grad(y, [x])
  void x.assign(fj.sub(x, fj.div(y, dy!)))
  return { x: fj.add(x, 0), y }
})
const visited: [number, number][] = []
for (let i = 0; i < 6; i++) {
  const now = await step()
  visited.push([await now.x.item(), await now.y.item()])
}
console.log("\nNewton's steps:", visited.map(([at]) => at.toFixed(7)).join(' → '))

const grid = fj.arange(-2, 3.1, 0.25)
const [gradient] = fj.grad(fj.sum(f(grid)), [grid])
const [xs, ys, slopes] = (await Promise.all([grid.array(), f(grid).array(), gradient!.array()])) as number[][]
const along = (values: number[]) => values.map((y, i) => [xs![i]!, y] as const)
await draw(
  'tensors-and-gradients',
  fj.plot.lines({
    title: 'f(x) = x² - 2, its slope, and the points Newton visits from 3',
    x: 'x',
    series: { 'f(x)': along(ys!), "f'(x) = 2x": along(slopes!), Newton: visited },
  }),
)

const root = await x.item()
step.dispose()
finish(`f is 0 at ${root.toFixed(6)}; √2 is ${Math.SQRT2.toFixed(6)}`)
