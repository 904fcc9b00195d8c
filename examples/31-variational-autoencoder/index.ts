// A network that draws digits nobody wrote: an autoencoder whose codes are spread as a bell, so that any code may be drawn.
import * as fj from 'forja'
import { images, pictures, unitDigits } from '../digits.js'
import { draw, finish, quick } from '../example.js'

const { train, test } = await unitDigits(quick ? 200 : 20_000, quick ? 100 : 10_000)
const HIDDEN = quick ? 32 : 256

class VariationalAutoencoder extends fj.nn.Module<[x: fj.Tensor]> {
  body = new fj.nn.Sequential(new fj.nn.Flatten(), new fj.nn.Linear(784, HIDDEN), new fj.nn.ReLU())
  mean: fj.nn.Linear
  logVariance: fj.nn.Linear
  decoder: fj.nn.Sequential

  constructor(readonly code: number) {
    super()
    this.mean = new fj.nn.Linear(HIDDEN, code)
    this.logVariance = new fj.nn.Linear(HIDDEN, code)
    this.decoder = new fj.nn.Sequential(
      new fj.nn.Linear(code, HIDDEN),
      new fj.nn.ReLU(),
      new fj.nn.Linear(HIDDEN, 784), // of each pixel, before the sigmoid
    )
  }

  /** Digits for codes (N, code). */
  decode(z: fj.Tensor): fj.Tensor {
    return fj.sigmoid(this.decoder.forward(z))
  }

  /** A digit again, by the middle of its cloud of codes. */
  forward(x: fj.Tensor): fj.Tensor {
    return this.decode(this.mean.forward(this.body.forward(x))).reshape(x.shape)
  }

  /** -ELBO, in nats a digit: what it costs to tell the pixels when the code is known, and to tell the code. */
  loss(x: fj.Tensor): fj.Tensor {
    const h = this.body.forward(x)
    const [mean, logVariance] = [this.mean.forward(h), this.logVariance.forward(h)]
    // z = μ + σ·ε: the draw is in ε, so the gradient finds its way to μ and σ.
    const z = fj.add(mean, fj.mul(fj.exp(fj.mul(logVariance, 0.5)), fj.randn(mean.shape)))
    const pixels = fj.binaryCrossEntropyWithLogits(this.decoder.forward(z), x.flatten({ startAxis: 1 }))
    // KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² - 1 - log σ²), summed over the code
    const apart = fj.sub(fj.add(fj.square(mean), fj.exp(logVariance)), fj.add(logVariance, 1))
    return fj.add(fj.mul(pixels, 784), fj.mul(fj.mean(apart), 0.5 * this.code))
  }
}

const shown = pictures(test, 10)
const rows = [...(await images(shown))]
const results: string[] = []
for (const code of [2, 16]) {
  console.log(`a code of ${code}`)
  fj.setSeed(1)
  using model = new VariationalAutoencoder(code)
  const epochs = quick ? 1 : 15
  const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.002 })
  const history = await fj.models.fitUnsupervised(model, train, {
    epochs,
    batchSize: 128,
    optimizer,
    schedule: new fj.schedule.CosineAnnealingLR(optimizer, { tMax: epochs }),
    validation: test,
    seed: 1,
  })
  results.push(`code of ${code}: ${history.valLoss.at(-1)!.toFixed(1)} nats a digit`)
  rows.push(...(await images(model.forward(shown))))

  // Ten codes from N(0, 1): no digit is behind any of them.
  rows.push(...(await images(model.decode(fj.randn([10, code])))))
  if (code > 2) continue

  // The plane of all codes, its coordinates the quantiles of the bell at 1/12, 3/12 .. 11/12: each cell is as likely.
  const side = [-1.38, -0.67, -0.21, 0.21, 0.67, 1.38]
  const plane = side.toReversed().flatMap((y) => side.map((x) => [x, y]))
  const title = 'The plane of codes, from one kind of digit to the next'
  const drawn = await images(model.decode(fj.tensor(plane)))
  await draw('variational-autoencoder-plane', fj.plot.images({ title, images: drawn, columns: 6, scale: 2 }))
}
const named = (name: string, count: number) => [name, ...new Array<string>(count - 1).fill('')]
await draw(
  'variational-autoencoder',
  fj.plot.images({
    title: 'Digits, the same digits through the code, and digits that nobody wrote',
    images: rows,
    labels: [named('in', 10), ...[2, 16].flatMap((n) => [named(`code ${n}`, 10), named(`drawn, ${n}`, 10)])].flat(),
    columns: 10,
    scale: 2,
  }),
)
finish(results.join(', '))
