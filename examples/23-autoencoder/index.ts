// A network that must say in two numbers what it saw, and another that has 32.
import * as fj from 'forja'
import { images, pictures, unitDigits } from '../digits.js'
import { draw, finish, quick } from '../example.js'

const { train, test } = await unitDigits(quick ? 200 : 60_000, quick ? 100 : 10_000)
const epochs = quick ? 1 : 8

// 784 → 256 → 64 → code of 2 or 32 → 64 → 256 → 784; the third has convolutions in place of the first layers.
const hidden = [256, 64]
const networks: Record<string, () => fj.models.Autoencoder> = {
  'code 2': () => fj.models.autoencoder({ hidden, code: 2 }),
  'code 32': () => fj.models.autoencoder({ hidden, code: 32 }),
  'conv 32': () => fj.models.convAutoencoder({ channels: [8, 16], code: 32 }),
}

const shown = pictures(test, 10)
const drawn = [...(await images(shown))]
const errors: string[] = []
for (const [name, make] of Object.entries(networks)) {
  console.log(name)
  fj.setSeed(1)
  using model = make()
  await fj.models.fitUnsupervised(model, train, {
    epochs: name.startsWith('conv') ? Math.ceil(epochs / 4) : epochs,
    batchSize: 128,
    optimizer: new fj.optim.Adam(model.parameters(), { lr: 0.002 }),
    validation: test,
    seed: 1,
  })
  model.eval()
  drawn.push(...(await images(model.forward(shown))))
  const all = pictures(test, Math.min(1000, test.length))
  const error = await fj.mseLoss(model.forward(all), all).item()
  errors.push(`${name} ${error.toFixed(4)}`)

  if (name === 'code 2') {
    // Each digit is a point of the plane; those that look alike lie together, though no label was ever seen.
    const codes = (await model.encode(all).array()) as [number, number][]
    const series = Object.fromEntries(
      Array.from({ length: 10 }, (_, digit) => [`${digit}`, codes.filter((_, i) => test.y[i] === digit)]),
    )
    const titles = { title: 'The code', x: 'first number', y: 'second number' }
    await draw('autoencoder-codes', fj.plot.points({ ...titles, series, width: 420, height: 420 }))
  }
}
const labels = ['in', ...Object.keys(networks)].flatMap((label) => [label, ...new Array<string>(9).fill('')])
await draw('autoencoder', fj.plot.images({ images: drawn, labels, columns: 10, scale: 2 }))
finish(`Mean squared error of a pixel: ${errors.join(', ')}`)
