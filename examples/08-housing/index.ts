// Regression: what a house costs in a district of California, by a straight line and by a network.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

// Quick mode invents districts: a bent surface over 13 columns.
function invented(count: number, seed: number): fj.data.ArrayDataset {
  const { train } = fj.data.playground('reg-gauss', { samples: 2 * count, seed })
  const x = Array.from({ length: train.length }, (_, i) =>
    Array.from({ length: 13 }, (_, c) => train.x[2 * i + (c % 2)]! / 4),
  )
  return fj.data.fromArrays({ x, y: Float32Array.from(train.y), targetShape: [1] })
}

const { train, test } = quick
  ? { train: invented(300, 1), test: invented(100, 2) }
  : await fj.data.housing({ missing: 'mean', oceanProximity: 'onehot', test: 0.2 })
const inputs = train.fields[0].shape[0]!
const count = (set: fj.data.ArrayDataset) => set.length.toLocaleString('en')
console.log(`${count(train)} districts to learn from, ${count(test)} held out, ${inputs} numbers each`)

// R² = 1 - Σ (y - ŷ)² / Σ (y - ȳ)²: the share of the variance that is explained.
const prices = Array.from(test.y)
const mean = prices.reduce((sum, y) => sum + y, 0) / test.length
const variance = prices.reduce((sum, y) => sum + (y - mean) ** 2, 0) / test.length
async function r2(model: fj.nn.Module<[x: fj.Tensor]>): Promise<number> {
  const { loss } = await fj.evaluateModel(model, test, { loss: 'mseLoss' })
  return 1 - loss / variance
}

async function learn(model: fj.nn.Module<[x: fj.Tensor]>, epochs: number, lr: number): Promise<fj.History> {
  const optimizer = new fj.optim.Adam(model.parameters(), { lr })
  const schedule = new fj.schedule.CosineAnnealingLR(optimizer, { tMax: epochs })
  const common = { loss: 'mseLoss', batchSize: 64, validation: test, seed: 1, verbose: 0 } as const
  return fj.fit(model, train, { ...common, epochs, optimizer, schedule })
}

fj.setSeed(1)
const linear = new fj.nn.Linear(inputs, 1)
const linearHistory = await learn(linear, quick ? 3 : 30, 0.01)
const network = fj.models.mlp({ inputs, hidden: [128, 64], classes: 1 })
const history = await learn(network, quick ? 3 : 60, 0.003)

await draw(
  'housing',
  fj.plot.lines({
    title: 'California: error on the districts held out',
    x: 'epoch',
    y: 'mean squared error, (100,000 $)²',
    series: { 'linear regression': linearHistory.valLoss, [`${inputs}-128-64-1`]: history.valLoss },
  }),
)
// The weights of a line can be read: what one standard deviation more of a column does to the price.
if (train.featureNames) {
  const weights = await linear.weight.data()
  const names = train.featureNames.map((name) => name.replace('ocean_proximity=', 'ocean: '))
  for (const [i, name] of names.entries()) console.log(`  ${name.padEnd(22)} ${weights[i]!.toFixed(3).padStart(7)}`)
}
const [line, net] = [await r2(linear), await r2(network)]
finish(`R² on the districts held out: linear regression ${line.toFixed(3)}, network ${net.toFixed(3)}`)
