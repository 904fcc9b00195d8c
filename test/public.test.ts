/** What is public is so on purpose: the namespaces that are a file's exports, whole. */
import { expect, it } from 'vitest'
import * as fj from '../lib/index.js'

it.each<[string, object, string]>([
  [
    'metrics',
    fj.metrics,
    'ConfusionMatrix accuracy binaryAccuracy confusionMatrix meanAbsoluteError meanSquaredError r2Score topKAccuracy',
  ],
  [
    'nn.init',
    fj.nn.init,
    'constant gain kaimingNormal kaimingUniform normal ones orthogonal uniform xavierNormal xavierUniform zeros',
  ],
  [
    'schedule',
    fj.schedule,
    'CosineAnnealingLR ExponentialLR LinearLR MultiStepLR OneCycleLR ReduceLROnPlateau Schedule StepLR',
  ],
])('fj.%s', (_, members, names) => {
  expect(Object.keys(members).sort().join(' ')).toBe(names)
})
