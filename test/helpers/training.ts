/** A small data set and a network with everything that resuming must bring back: dropout, running statistics. */
import * as fj from '../../lib/index.js'

const labels = Int32Array.from({ length: 40 }, (_, i) => i % 3)
const images = Float32Array.from({ length: 40 * 16 }, (_, i) => Math.sin(i * (1 + labels[Math.floor(i / 16)]!)))

/** 40 images (1, 4, 4) of 3 classes. */
export const waves = fj.data.fromArrays({ x: images, y: labels, shape: [1, 4, 4] })

/** Always with the same initial weights. */
export function network(): fj.nn.Sequential {
  fj.setSeed(3)
  return new fj.nn.Sequential(
    new fj.nn.Conv2d(1, 4, 3, { padding: 1 }),
    new fj.nn.BatchNorm2d(4),
    new fj.nn.ReLU(),
    new fj.nn.Flatten(),
    new fj.nn.Dropout(0.3),
    new fj.nn.Linear(64, 3),
  )
}

/** Without dropout and batch normalisation: a batch is the sum of its parts. */
export function plainNetwork(): fj.nn.Sequential {
  fj.setSeed(3)
  return new fj.nn.Sequential(
    new fj.nn.Conv2d(1, 4, 3, { padding: 1 }),
    new fj.nn.Tanh(),
    new fj.nn.Flatten(),
    new fj.nn.Linear(64, 3),
  )
}

/** All parameters and buffers, by name. */
export async function everything(model: fj.nn.Module): Promise<Record<string, ArrayLike<number>>> {
  const entries = Object.entries(await model.stateDict())
  return Object.fromEntries(await Promise.all(entries.map(async ([name, tensor]) => [name, await tensor.data()])))
}
