// Eight ways to walk down the same hill, each written as its formula, each checked against the optimizer of that name.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'
import { RULES, set } from './rules.js'

const { train } = await fj.data.syntheticDigits({ train: quick ? 200 : 1000, test: 1, seed: 1 })
const EPOCHS = quick ? 2 : 12

/** Softmax regression: the bias is the first row of the weights, its input is 1. θ is (785, 10). */
function lossAt(theta: fj.Tensor, x: fj.Tensor, y: fj.Tensor): fj.Tensor {
  const rows = fj.concat([fj.ones([x.shape[0]!, 1]), x.flatten({ startAxis: 1 })], { axis: 1 })
  return fj.crossEntropy(fj.matmul(rows, theta), y)
}

/** Trains θ from zero, `update` being written into every step. Each epoch's mean loss. */
async function descend(theta: fj.Variable, batchSize: number, update: (loss: fj.Tensor) => void): Promise<number[]> {
  const step = fj.compile((x: fj.Tensor, y: fj.Tensor) => {
    const loss = lossAt(theta, x, y)
    update(loss)
    return { loss }
  })
  const losses: number[] = []
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    let sum = 0
    for await (const { x, xShape, y, length } of train.batches({ batchSize, shuffle: true, seed: 1, epoch })) {
      const { loss } = await step(fj.tensor(x, { shape: xShape }), fj.tensor(y))
      sum += length * (await loss.item())
    }
    losses.push(sum / train.length)
  }
  step.dispose()
  return losses
}

const curves: Record<string, number[]> = {}
let largest = 0
for (const [name, { formula, lr, rule, twin, fullBatch }] of Object.entries(RULES)) {
  const [theta, other] = [fj.variable(fj.zeros([785, 10])), fj.variable(fj.zeros([785, 10]))]
  const batchSize = fullBatch ? train.length : 32

  // By the formula: the gradient is graph like everything else, and θ one more assignment.
  const change = rule((shape) => fj.variable(fj.zeros(shape)))
  curves[name] = await descend(theta, batchSize, (loss) => {
    const [g] = fj.grad(loss, [theta])
    set(theta, fj.sub(theta, change(g!, lr)))
  })

  // By the optimizer: one native pass over all parameters.
  const optimizer = twin([other], lr)
  await descend(other, batchSize, (loss) => optimizer.minimize(loss))
  largest = Math.max(largest, await fj.max(fj.abs(fj.sub(theta, other))).item())
  console.log(`${name.padEnd(17)} loss ${curves[name].at(-1)!.toFixed(4)}   α = ${String(lr).padEnd(5)}  ${formula}`)
}
await draw(
  'optimizers',
  fj.plot.lines({ title: 'The same hill, the same start', x: 'epoch', y: 'loss', yScale: 'log', series: curves }),
)
finish(`Formula and optimizer differ by at most ${largest.toExponential(1)} in any weight`)
