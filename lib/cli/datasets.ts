/** The data sets that the command line knows by name. */
import type { LocateOptions } from '../data/cache.js'
import { cifar10 } from '../data/cifar10.js'
import type { Splits } from '../data/dataset.js'
import { fashionMnist, mnist } from '../data/mnist.js'
import { PLAYGROUND_SETS, playground } from '../data/playground.js'
import { syntheticDigits } from '../data/synthetic_digits.js'
import { syntheticShapes } from '../data/synthetic_shapes.js'
import { digits, housing } from '../data/tables.js'

interface Entry {
  readonly description: string
  load(options: LocateOptions): Promise<Splits>
}

/** Data sets that a program draws, always on this machine. */
export const GENERATED: Readonly<Record<string, Entry>> = {
  synthetic: { description: 'digits drawn by a program, 10,000 + 2,000 images 28×28', load: () => syntheticDigits() },
  shapes: {
    description: 'coloured shapes drawn by a program, 5,000 + 1,000 images 32×32',
    load: () => syntheticShapes(),
  },
  ...Object.fromEntries(
    PLAYGROUND_SETS.map((name): [string, Entry] => [
      name,
      {
        description: `${name} of the TensorFlow Playground, 250 + 250 or 600 + 600 points of the plane`,
        load: async () => playground(name),
      },
    ]),
  ),
}

export const DATASETS: Readonly<Record<string, Entry>> = {
  mnist: { description: 'handwritten digits, 60,000 + 10,000 images 28×28', load: mnist },
  'fashion-mnist': { description: 'pictures of clothes, 60,000 + 10,000 images 28×28', load: fashionMnist },
  cifar10: { description: 'photographs of ten classes, 50,000 + 10,000 images 32×32', load: cifar10 },
  digits: { description: 'handwritten digits, 1,258 + 539 images 8×8', load: digits },
  housing: { description: 'California, 16,512 + 4,128 districts, house values', load: housing },
  ...GENERATED,
}
