// Graph and session, as TensorFlow 1 had them: write the graph first, then run parts of it with values fed in.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
fj.setThreads(1) // 100 × 784 × 10 products are over before a second thread has begun
using session = new fj.Session()

// a·b / (a + b), line for line. Nothing is computed before session.run.
const a = fj.placeholder([], { name: 'a' })
const b = fj.placeholder([], { name: 'b' })
const c = fj.mul(a, b)
const d = fj.add(a, b)
const e = fj.div(c, d)
const numbers = new Map([
  [a, 15],
  [b, 5],
])
const result = await session.run(e, { feed: numbers })
console.log(`a = 15, b = 5: a·b / (a + b) = ${await result.item()}`)

// What is not fed has no value, and the error says which placeholder it is.
await session.run(e, { feed: new Map([[a, 15]]) }).catch((error: fj.ForjaError) => console.log(`${error.message}\n`))

// Softmax regression: ŷ = softmax(x·W + b). null is the size of the batch, known only when the session runs.
const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 2000, test: 300, seed: 1 })
  : await fj.data.mnist()
const x = fj.placeholder([null, 784], { name: 'x' })
const labels = fj.placeholder([null, 10], { name: 'labels' })
const W = fj.variable(fj.zeros([784, 10]), { name: 'W' })
const bias = fj.variable(fj.zeros([10]), { name: 'b' })
const logits = fj.add(fj.matmul(x, W), bias)
const y = fj.softmax(logits)
const crossEntropy = fj.mean(fj.neg(fj.sum(fj.mul(labels, fj.log(fj.clamp(y, { min: 1e-10 }))), { axes: 1 })))
const trainStep = new fj.optim.SGD([W, bias], { lr: 0.05 }).minimize(crossEntropy)
const correct = fj.equal(fj.argMax(y, { axis: 1 }), fj.argMax(labels, { axis: 1 }))
const accuracy = fj.mean(fj.cast(correct, 'float32'))

/** A batch for the two placeholders: typed arrays take the placeholder's shape. */
const feedOf = (batch: fj.data.Batch) =>
  new Map<fj.Tensor, fj.FeedValue>([
    [x, batch.x],
    [labels, fj.oneHot(fj.tensor(batch.y), { depth: 10 })],
  ])

await session.run(fj.globalVariablesInitializer())
const losses: number[] = []
for (let epoch = 0; epoch < (quick ? 2 : 5); epoch++) {
  let total = 0
  let seen = 0
  for await (const batch of train.batches({ batchSize: 100, shuffle: true, seed: 1, epoch })) {
    const [loss] = await session.run([crossEntropy, trainStep], { feed: feedOf(batch) })
    total += (await loss.item()) * batch.length
    seen += batch.length
    if (seen % 2000 !== 0) continue
    losses.push(total / 2000)
    total = 0
  }
  console.log(`epoch ${epoch + 1}: cross entropy ${losses.at(-1)!.toFixed(4)}, of its last 2,000 images`)
}

let right = 0
for await (const batch of test.batches({ batchSize: 1000 })) {
  right += (await (await session.run(accuracy, { feed: feedOf(batch) })).item()) * batch.length
}
await draw(
  'graph-and-session',
  fj.plot.lines({
    title: 'Softmax regression, fed by hand',
    x: 'images seen, in thousands',
    y: 'cross entropy of the last 2,000',
    series: { training: losses.map((loss, i) => [2 * (i + 1), loss] as const) },
    dots: false,
  }),
)
finish(`Test accuracy ${((100 * right) / test.length).toFixed(2)} %`)
