// Autoencoders that cannot cheat: by noise, by silence, and one on top of the other.
import * as fj from 'forja'
import { images, pictures, unitDigits } from '../digits.js'
import { draw, finish, quick } from '../example.js'

const { train, test } = await unitDigits(quick ? 200 : 20_000, quick ? 100 : 10_000)
const common = { hidden: [], code: quick ? 16 : 100, codeActivation: 'sigmoid' } as const
const shown = pictures(test, 10)

// What each unit looks for: the 784 weights of its inputs as a picture.
const variants: Record<string, fj.models.AutoencoderOptions> = {
  plain: {},
  denoising: { corruption: 0.4 },
  sparse: { sparsity: { target: 0.05, weight: 0.002 } },
}
const filters: number[][][] = []
for (const [name, options] of Object.entries(variants)) {
  fj.setSeed(1)
  using model = fj.models.autoencoder({ ...common, ...options })
  await fj.models.fitUnsupervised(model, train, {
    epochs: quick ? 1 : 15,
    batchSize: 64,
    optimizer: new fj.optim.Adam(model.parameters(), { lr: 0.003, weightDecay: 1e-5 }), // which clears the margins
    seed: 1,
    verbose: 0,
  })
  const [weight] = model.encoder.parameters()
  filters.push(...(await images(fj.slice(weight!, { ends: [10] }))))
  const activity = await fj.mean(model.encode(pictures(test, 200))).item()
  console.log(`${name.padEnd(10)} units active for ${(100 * activity).toFixed(0)} % of the digits`)
  if (name === 'denoising') {
    const noisy = model.corrupt(shown)
    await noisy.data() // drawn once, so that both rows show the same noise
    const rows = [...(await images(noisy)), ...(await images(model.eval().forward(noisy)))]
    await draw('denoising', fj.plot.images({ title: 'Denoising', images: rows, columns: 10, scale: 2 }))
  }
}
const labels = Object.keys(variants).flatMap((name) => [name, ...new Array<string>(9).fill('')])
await draw('filters', fj.plot.images({ title: 'What ten units look for', images: filters, labels, scale: 2 }))

// Greedy: each layer learns to clean what the layer below says; labels come last, and few.
const few = train.slice(0, quick ? 100 : 1000)
const sizes = quick ? [784, 32, 16] : [784, 256, 128, 64]
fj.setSeed(1)
const stack = fj.models.stackedAutoencoder({ sizes, corruption: 0.3 })
await stack.pretrain(train, {
  epochs: quick ? 1 : 8,
  batchSize: 64,
  optimizer: (parameters) => new fj.optim.Adam(parameters, { lr: 0.002 }),
  seed: 1,
  verbose: 0,
})
const networks = {
  'stacked, fine-tuned': await stack.classifier(),
  'random start': fj.models.mlp({ hidden: sizes.slice(1), activation: 'sigmoid' }),
}
const curves: Record<string, number[]> = {}
for (const [name, network] of Object.entries(networks)) {
  const history = await fj.fit(network, few, {
    epochs: quick ? 2 : 30,
    batchSize: 32,
    optimizer: new fj.optim.Adam(network.parameters(), { lr: 0.002 }),
    validation: test,
    metrics: ['accuracy'],
    seed: 1,
    verbose: 0,
  })
  curves[name] = history.valAccuracy
}
const title = `${few.length.toLocaleString('en')} labelled digits, ${train.length.toLocaleString('en')} without`
await draw('stacked', fj.plot.lines({ title, x: 'epoch', y: 'test accuracy', series: curves }))
const results = Object.entries(curves).map(([name, curve]) => `${name} ${(100 * curve.at(-1)!).toFixed(2)} %`)
finish(`Test accuracy: ${results.join(', ')}`)
