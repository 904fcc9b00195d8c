// Multilayer perceptrons on handwritten digits: one hidden layer, then two.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 500, test: 200, seed: 1 })
  : await fj.data.mnist()

const curves: Record<string, number[]> = {}
const results: string[] = []
for (const hidden of quick ? [[16], [16, 16]] : [[512], [512, 256]]) {
  fj.setSeed(1)
  const model = fj.models.mlp({ hidden })
  const name = ['784', ...hidden, '10'].join('-')
  const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.001 })
  const history = await fj.fit(model, train, {
    epochs: quick ? 2 : 10,
    batchSize: 128,
    optimizer,
    // Large steps find the valley, small ones its bottom.
    schedule: new fj.schedule.ExponentialLR(optimizer, { gamma: 0.75 }),
    validation: test,
    metrics: ['accuracy'],
    seed: 1,
  })
  curves[`${name}, training`] = history.accuracy
  curves[`${name}, test`] = history.valAccuracy
  const { accuracy } = await fj.evaluateModel(model, test, { loss: 'crossEntropy', metrics: ['accuracy'] })
  const parameters = model.parameters().reduce((sum, parameter) => sum + parameter.size, 0)
  console.log(`${name}: ${parameters.toLocaleString('en')} parameters`)
  results.push(`${name} ${(100 * accuracy!).toFixed(2)} %`)
}

await draw('mlp', fj.plot.lines({ title: 'Multilayer perceptrons', x: 'epoch', y: 'accuracy', series: curves }))
finish(`Test accuracy: ${results.join(', ')}`)
