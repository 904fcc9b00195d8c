// Writes one checkpoint after another to the path given, and a line after the first.
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import * as fj from '../../../dist/index.js'

const path = process.argv[2]
mkdirSync(dirname(path), { recursive: true })
const model = new fj.nn.Sequential(new fj.nn.Linear(500, 500))
const optimizer = new fj.optim.Adam(model.parameters())
for (let epoch = 1; ; epoch++) {
  await model.layers[0].weight.assign(fj.full([500, 500], epoch))
  await fj.saveCheckpoint(path, { model, optimizer, epoch })
  if (epoch === 1) console.log('written')
}
