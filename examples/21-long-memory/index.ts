// A hundred numbers go by, two of them are marked: what is their sum? An LSTM learns it, a simple RNN does not.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const LENGTH = quick ? 20 : 100
const BATCH = 64
const HIDDEN = 64
const STEPS = quick ? 60 : 2500

/** x (N, T, 2): numbers from 0 to 1, and marks: a 1 in the first and one in the second half. y (N, 1): their sum. */
function addingProblem() {
  const half = LENGTH / 2
  const mark = (from: number) => fj.oneHot(fj.randint(from, from + half, [BATCH]), { depth: LENGTH })
  const values = fj.rand([BATCH, LENGTH])
  const marks = fj.add(mark(0), mark(half))
  return { x: fj.stack([values, marks], { axis: 2 }), y: fj.sum(fj.mul(values, marks), { axes: [1], keepDims: true }) }
}

class Adder extends fj.nn.Module<[x: fj.Tensor]> {
  readout = new fj.nn.Linear(HIDDEN, 1)

  constructor(readonly memory: fj.nn.RNN | fj.nn.LSTM) {
    super()
  }

  forward(x: fj.Tensor): fj.Tensor {
    return this.readout.forward(this.memory.forward(x).h.reshape([x.shape[0]!, HIDDEN]))
  }
}

async function train(name: string, make: () => fj.nn.RNN | fj.nn.LSTM) {
  const begin = performance.now()
  fj.setSeed(1)
  const model = new Adder(make())
  const parameters = model.parameters()
  const optimizer = new fj.optim.Adam(parameters, { lr: 0.002 })
  // Data, forward, backward through 100 steps, clipping, update: one native program, new numbers at every call.
  const step = fj.compile(() => {
    const { x, y } = addingProblem()
    const loss = fj.mseLoss(model.forward(x), y)
    optimizer.step(fj.clipGradNorm(fj.grad(loss, parameters), 1))
    return { loss }
  })
  const curve: [number, number][] = []
  const every = STEPS / 50
  let sum = 0
  for (let i = 1; i <= STEPS; i++) {
    sum += await (await step()).loss.item()
    if (i % every >= 1) continue
    curve.push([i, sum / every])
    sum = 0
  }
  const error = curve.at(-1)![1]
  const seconds = ((performance.now() - begin) / 1000).toFixed(1)
  console.log(`${name.padEnd(10)} mean squared error ${error.toFixed(4)} after ${STEPS} steps, ${seconds} s`)
  return { curve, error }
}

console.log(`Always answering 1, the mean: mean squared error ${(1 / 6).toFixed(4)}\n`)
const rnn = await train('simple RNN', () => new fj.nn.RNN(2, HIDDEN))
const lstm = await train('LSTM', () => new fj.nn.LSTM(2, HIDDEN))

const guess: [number, number][] = [
  [0, 1 / 6],
  [STEPS, 1 / 6],
]
await draw(
  'long-memory',
  fj.plot.lines({
    title: `The sum of two numbers among ${LENGTH}`,
    x: 'training step',
    y: 'mean squared error',
    series: { 'simple RNN': rnn.curve, LSTM: lstm.curve, 'always 1': guess },
  }),
)
finish(`Length ${LENGTH}: LSTM ${lstm.error.toFixed(4)}, simple RNN ${rnn.error.toFixed(4)}`)
