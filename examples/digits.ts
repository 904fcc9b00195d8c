/** Digits as numbers from 0 to 1, as sigmoid outputs and Boltzmann machines need them. */
import * as fj from 'forja'
import { quick } from './example.js'

/** The first `train` and `test` samples of MNIST; in quick mode as many digits that forja draws. */
export async function unitDigits(train: number, test: number) {
  const sets = quick ? await fj.data.syntheticDigits({ train, test, seed: 1 }) : await fj.data.mnist()
  const unit = (set: fj.data.ArrayDataset, count: number) => {
    const { x, y } = set.slice(0, Math.min(count, set.length))
    return fj.data.fromArrays({
      x,
      y,
      shape: [1, 28, 28],
      classes: 10,
      normalization: { scale: [1 / 255], offset: [0] },
    })
  }
  return { train: unit(sets.train, train), test: unit(sets.test, test) }
}

/** The first `count` samples, or as many as there are: (count, 1, 28, 28). */
export function pictures(set: fj.data.ArrayDataset, count: number): fj.Tensor {
  const { x, xShape } = set.gather(Int32Array.from({ length: Math.min(count, set.length) }, (_, i) => i))
  return fj.tensor(x, { shape: xShape })
}

/** Rows of 784 numbers as images of 28×28, for plot.images. */
export async function images(rows: fj.Tensor): Promise<number[][][]> {
  return (await fj.reshape(rows, [-1, 28, 28]).array()) as number[][][]
}
