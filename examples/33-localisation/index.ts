// Which digit is it, and where? One body of convolutions, two heads, and the sum of two losses.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const SIDE = 56 // pixels of a scene
const SIZES = [20, 28, 36] // of a digit's own square in it
const digits = await fj.data.syntheticDigits({ train: quick ? 100 : 6000, test: quick ? 50 : 1000, seed: 1 })

/** Digits of three sizes anywhere in dark scenes. Targets: the class and the box around the ink, from 0 to 1. */
async function scenes({ x, y, length }: fj.data.ArrayDataset): Promise<fj.data.ArrayDataset> {
  const stored = fj.cast(fj.tensor(x, { shape: [length, 1, 28, 28] }), 'float32')
  const scaled = await fj.evaluate(SIZES.map((size) => fj.interpolate(stored, { size, mode: 'bilinear' })))
  const [chosen, places] = await fj.evaluate([fj.randint(0, SIZES.length, [length]), fj.rand([length, 2])])
  const pixels = new Uint8Array(length * SIDE * SIDE)
  const targets = new Float32Array(length * 5)
  for (let i = 0; i < length; i++) {
    const [digit, size] = [scaled[chosen![i]!]!, SIZES[chosen![i]!]!]
    const [left, top] = [0, 1].map((axis) => Math.floor(places![2 * i + axis]! * (SIDE - size + 1))) as [number, number]
    const box = [SIDE, SIDE, 0, 0]
    for (let p = 0; p < size * size; p++) {
      const [row, column] = [top + Math.floor(p / size), left + (p % size)]
      const ink = digit[i * size * size + p]!
      pixels[(i * SIDE + row) * SIDE + column] = ink
      if (ink < 64) continue
      box[0] = Math.min(box[0]!, column)
      box[1] = Math.min(box[1]!, row)
      box[2] = Math.max(box[2]!, column + 1)
      box[3] = Math.max(box[3]!, row + 1)
    }
    targets.set([y[i]!, ...box.map((edge) => edge / SIDE)], 5 * i)
  }
  const normalization = { scale: [1 / 255], offset: [0] }
  return fj.data.fromArrays({ x: pixels, y: targets, shape: [1, SIDE, SIDE], targetShape: [5], normalization })
}

/** (N, 1, 56, 56) → ten scores and a box (x₁, y₁, x₂, y₂), (N, 14). */
class Locator extends fj.nn.Module<[x: fj.Tensor]> {
  body = new fj.nn.Sequential(
    ...[16, 32, 32].flatMap((channels, i) => [
      new fj.nn.Conv2d(i === 0 ? 1 : [16, 32][i - 1]!, channels, 3, { padding: 1 }),
      new fj.nn.BatchNorm2d(channels),
      new fj.nn.ReLU(),
      new fj.nn.MaxPool2d(2),
    ]),
    new fj.nn.Flatten(),
    new fj.nn.Linear(32 * 7 * 7, 128),
    new fj.nn.ReLU(),
  )
  classes = new fj.nn.Linear(128, 10)
  box = new fj.nn.Linear(128, 4)

  forward(x: fj.Tensor): fj.Tensor {
    const features = this.body.forward(x)
    // A corner and a size, so that no box is inside out.
    const [corner, size] = fj.split(fj.sigmoid(this.box.forward(features)), 2, { axis: 1 })
    return fj.concat([this.classes.forward(features), corner!, fj.add(corner!, size!)], { axis: 1 })
  }
}

const scoresOf = (output: fj.Tensor) => fj.slice(output, { ends: [output.shape[0]!, 10] })
const boxOf = (rows: fj.Tensor) => fj.slice(rows, { starts: [0, rows.shape[1]! - 4] })
const classOf = (target: fj.Tensor) => fj.cast(fj.slice(target, { ends: [target.shape[0]!, 1] }), 'int32').flatten()
/** Intersection over union, of each box with its own target: the diagonal of all pairs. */
const overlap = (output: fj.Tensor, target: fj.Tensor) =>
  fj.sum(fj.mul(fj.boxIou(boxOf(output), boxOf(target)), fj.eye(target.shape[0]!)), { axes: 1 })
const right = (output: fj.Tensor, target: fj.Tensor) =>
  fj.cast(fj.equal(fj.argMax(scoresOf(output), { axis: 1 }), classOf(target)), 'float32')
const accuracy = (output: fj.Tensor, target: fj.Tensor) => fj.mean(right(output, target))
const iou = (output: fj.Tensor, target: fj.Tensor) => fj.mean(overlap(output, target))
/** The measure of ILSVRC's localisation task: the class is right and the boxes share more than half. */
const localised = (output: fj.Tensor, target: fj.Tensor) =>
  fj.mean(fj.mul(right(output, target), fj.cast(fj.greater(overlap(output, target), 0.5), 'float32')))

const [train, test] = [await scenes(digits.train), await scenes(digits.test)]
const model = new Locator()
const epochs = quick ? 2 : 12
const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.002 })
const history = await fj.fit(model, train, {
  // A box is off by tenths at first, a class costs log 10: the factor brings both near one size.
  loss: (output, target) =>
    fj.add(fj.crossEntropy(scoresOf(output), classOf(target)), fj.mul(fj.l1Loss(boxOf(output), boxOf(target)), 5)),
  metrics: [accuracy, iou, localised],
  epochs,
  batchSize: 64,
  optimizer,
  schedule: new fj.schedule.CosineAnnealingLR(optimizer, { tMax: epochs }),
  validation: test,
  seed: 1,
})

const shown = test.gather(Int32Array.from({ length: 10 }, (_, i) => i))
const output = await fj.predict(model, fj.tensor(shown.x, { shape: shown.xShape }))
const [answers, boxes] = await Promise.all([fj.argMax(scoresOf(output), { axis: 1 }).data(), boxOf(output).array()])
const pictures = (boxes as number[][]).map((box, i) => {
  const [x1, y1, x2, y2] = box.map((edge) => Math.min(Math.round(edge * SIDE), SIDE - 1)) as [
    number,
    number,
    number,
    number,
  ]
  return Array.from({ length: SIDE }, (_, r) =>
    Array.from({ length: SIDE }, (_, c) => {
      const inside = c >= x1 && c <= x2 && r >= y1 && r <= y2
      const frame = inside && (c === x1 || c === x2 || r === y1 || r === y2)
      return frame ? 0.7 : shown.x[(i * SIDE + r) * SIDE + c]!
    }),
  )
})
const labels = Array.from(answers, String)
await draw('localisation', fj.plot.images({ title: 'What, and where', images: pictures, labels, columns: 5, scale: 2 }))
const last = (name: string) => history.values(name).at(-1)!
const percent = (name: string) => `${(100 * last(name)).toFixed(1)} %`
finish(
  `Right class ${percent('valAccuracy')}, overlap of boxes ${last('valIou').toFixed(3)}, both ${percent('valLocalised')}`,
)
