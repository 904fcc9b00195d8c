/** The data sets that the command line knows by name. */
import type { LocateOptions } from '../data/cache.js'
import { fashionMnist, mnist, type Splits } from '../data/mnist.js'
import { syntheticDigits } from '../data/synthetic_digits.js'

interface Entry {
  readonly description: string
  load(options: LocateOptions): Promise<Splits>
}

export const DATASETS: Readonly<Record<string, Entry>> = {
  mnist: { description: 'handwritten digits, 60,000 + 10,000 images 28×28', load: mnist },
  'fashion-mnist': { description: 'pictures of clothes, 60,000 + 10,000 images 28×28', load: fashionMnist },
  synthetic: { description: 'digits drawn by a program, 10,000 + 2,000 images 28×28', load: () => syntheticDigits() },
}
