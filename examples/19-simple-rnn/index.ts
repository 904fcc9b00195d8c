// A simple recurrent network learns to go on with a curve; then: how far back in time its gradient reaches.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const HIDDEN = 32
const LENGTH = 40 // steps of a training window

// The curve: two tones that do not share a period, so that no short pattern repeats.
const curve = (t: number) => 0.6 * Math.sin(0.31 * t) + 0.4 * Math.sin(0.83 * t + 1)
const columns = (values: number[][]) => fj.tensor(values, { shape: [values.length, values[0]!.length, 1] })

// s_t = tanh(U x_t + W s_{t-1}), and a linear layer that reads the next value of the curve from s_t.
class Forecaster extends fj.nn.Module<[x: fj.Tensor]> {
  rnn = new fj.nn.RNN(1, HIDDEN)
  readout = new fj.nn.Linear(HIDDEN, 1)

  forward(x: fj.Tensor): fj.Tensor {
    return this.readout.forward(this.rnn.forward(x).y)
  }

  /** One step from a state: the forecast, and the state behind it. */
  next(x: fj.Tensor, h: fj.Tensor) {
    const { y, h: state } = this.rnn.forward(x, { h })
    return { forecast: this.readout.forward(y), state }
  }
}

const model = new Forecaster()
const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.005 })
const step = fj.compile((x: fj.Tensor, y: fj.Tensor) => {
  // Without the first forecasts of a window: nobody knows a curve from a few of its values.
  const after = (all: fj.Tensor) => fj.slice(all, { starts: [0, 8] })
  const loss = fj.mseLoss(after(model.forward(x)), after(y))
  optimizer.step(fj.clipGradNorm(fj.grad(loss, model.parameters()), 1))
  return { loss }
})

const steps = quick ? 40 : 1500
const losses: [number, number][] = []
for (let i = 1; i <= steps; i++) {
  // Back-propagation through time: the loss of all 40 forecasts of 32 windows, in one native program.
  const starts = Array.from({ length: 32 }, (_, n) => (i * 32 + n) * 7.3)
  const windows = starts.map((start) => Array.from({ length: LENGTH + 1 }, (_, t) => curve(start + t)))
  const { loss } = await step(columns(windows.map((w) => w.slice(0, -1))), columns(windows.map((w) => w.slice(1))))
  if (i % (steps / 20) === 0) losses.push([i, await loss.item()])
}
await draw(
  'simple-rnn-loss',
  fj.plot.lines({ title: 'Training', x: 'step', y: 'mean squared error', yScale: 'log', series: { loss: losses } }),
)

// It reads 60 values, then lives on its own forecasts.
const next = fj.compile((x: fj.Tensor, h: fj.Tensor) => model.next(x, h))
const free: [number, number][] = []
let state = fj.zeros([1, 1, HIDDEN])
let error = 0
for (let t = 0, value = curve(0); t < 160; t++) {
  const { forecast, state: after } = await next(columns([[value]]), state)
  state = after
  const own = await forecast.item()
  if (t >= 60) {
    free.push([t + 1, own])
    error += (own - curve(t + 1)) ** 2 / 100
  }
  value = t + 1 < 61 ? curve(t + 1) : own
}
const truth = Array.from({ length: 160 }, (_, t): [number, number] => [t + 1, curve(t + 1)])
await draw(
  'simple-rnn-forecast',
  fj.plot.lines({
    title: 'From step 60 on it hears only itself',
    x: 'step',
    y: 'value',
    series: { curve: truth, network: free },
  }),
)

// How much the last state feels the input of step t: ‖∂L/∂x_t‖, L = Σ s_T. Each step back multiplies by Wᵀ diag(f′).
const T = 60
const reach = async (radius: number) => {
  const w = fj.nn.init.orthogonal({ gain: radius })([HIDDEN, HIDDEN])
  const u = fj.nn.init.normal({ std: 0.05 })([HIDDEN, HIDDEN])
  const x = fj.mul(fj.randn([1, T, HIDDEN]), 0.1)
  const { h } = fj.rnn(x, { weight_ih_l0: u, weight_hh_l0: w })
  const [dx] = fj.grad(fj.sum(h), [x])
  return Array.from(await fj.sqrt(fj.sum(fj.square(dx!), { axes: [0, 2] })).data())
}
const series = {
  'W shrinks (0.8)': await reach(0.8),
  'W keeps lengths (1)': await reach(1),
  'W stretches (1.2)': await reach(1.2),
}
await draw(
  'simple-rnn-gradient',
  fj.plot.lines({ title: 'The gradient on its way back in time', x: 'step t', y: '‖∂L/∂x_t‖', yScale: 'log', series }),
)
for (const [name, norms] of Object.entries(series)) {
  console.log(
    `${name.padEnd(22)} at step 1: ${(norms[0]! / norms[T - 1]!).toExponential(1)} of what arrives at step ${T}`,
  )
}
finish(`Forecasting 100 steps on its own: mean squared error ${error.toExponential(2)}`)
