// Ten examples a class are enough for a network that has learnt to see on other classes.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

const { train, test } = quick
  ? await fj.data.syntheticDigits({ train: 1000, test: 300, seed: 1 })
  : await fj.data.mnist()

/** Digits `first` to `first + 4` as classes 0 to 4, at most `count` of each. */
function fiveDigits(set: fj.data.ArrayDataset, first: number, count = Number.POSITIVE_INFINITY) {
  const seen = new Array<number>(5).fill(0)
  const wanted = [...set.y.keys()].filter((i) => {
    const label = set.y[i]! - first
    return label >= 0 && label < 5 && seen[label]!++ < count
  })
  const { x, y } = set.gather(Int32Array.from(wanted), { raw: true })
  const [{ shape, normalization }] = set.fields
  return fj.data.fromArrays({ x, y: Int32Array.from(y, (label) => label - first), shape, normalization, classes: 5 })
}

const folder = mkdtempSync(join(tmpdir(), 'forja-transfer-'))
const file = join(folder, 'digits-0-to-4.safetensors')
try {
  // Many examples of 0 to 4: what the features come from.
  fj.setSeed(1)
  const source = fiveDigits(train, 0)
  const teacher = fj.models.lenet5({ classes: 5 })
  console.log(`Digits 0 to 4, ${source.length.toLocaleString('en')} examples`)
  const optimizer = new fj.optim.SGD(teacher.parameters(), { lr: 0.03, momentum: 0.9 })
  await fj.fit(teacher, source, { epochs: quick ? 2 : 3, batchSize: 64, optimizer, metrics: ['accuracy'], seed: 1 })
  await fj.save(teacher, file)

  // Ten examples each of 5 to 9: what it shall learn now.
  const [few, unseen] = [fiveDigits(train, 5, 10), fiveDigits(test, 5)]
  console.log(`\nDigits 5 to 9, ${few.length} examples, tested on ${unseen.length.toLocaleString('en')}`)
  const copy = async () => {
    const model = fj.models.lenet5({ classes: 5 })
    await fj.load(model, file)
    return model
  }
  const ways = {
    'from scratch': async () => {
      const model = fj.models.lenet5({ classes: 5 })
      return { model, learn: model.parameters() }
    },
    'frozen, new head': async () => {
      const model = await copy()
      model.freeze()
      return { model, learn: fj.replaceHead(model, 5).parameters() }
    },
    'frozen filters': async () => {
      const model = await copy()
      model.freeze()
      const { conv1, conv2 } = model
      const fresh = Object.assign(fj.models.lenet5({ classes: 5 }), { conv1, conv2 })
      return { model: fresh, learn: fresh.parameters().filter((parameter) => parameter.trainable) }
    },
    'fine-tuning': async () => {
      const model = await copy()
      const head = fj.replaceHead(model, 5).parameters()
      const body = model.parameters().filter((parameter) => !head.includes(parameter))
      // The body knows something already: a third of the head's rate.
      return { model, learn: [{ params: body, lr: 0.01 / 3 }, { params: head }] }
    },
  }
  const curves: Record<string, number[]> = {}
  for (const [name, make] of Object.entries(ways)) {
    fj.setSeed(1)
    const { model, learn } = await make()
    const history = await fj.fit(model, few, {
      epochs: quick ? 3 : 40,
      batchSize: 10,
      optimizer: new fj.optim.SGD(learn, { lr: 0.01, momentum: 0.9 }),
      validation: unseen,
      metrics: ['accuracy'],
      seed: 1,
      verbose: 0,
    })
    curves[name] = history.valAccuracy
    const learning = model.parameters().reduce((sum, p) => sum + (p.trainable ? p.size : 0), 0)
    const accuracy = `${(100 * history.valAccuracy.at(-1)!).toFixed(1)} %`
    console.log(
      `  ${name.padEnd(16)} ${learning.toLocaleString('en').padStart(7)} parameters learn ${accuracy.padStart(8)}`,
    )
    model.dispose()
  }
  const title = 'Ten examples a class'
  await draw('transfer-learning', fj.plot.lines({ title, x: 'epoch', y: 'test accuracy', series: curves }))
  const results = Object.entries(curves).map(([name, curve]) => `${name} ${(100 * curve.at(-1)!).toFixed(1)} %`)
  finish(`Test accuracy: ${results.join(', ')}`)
} finally {
  rmSync(folder, { recursive: true })
}
