/** Sets of images that a program draws: what digits and shapes share. Sample i depends on (seed, i) alone. */
import { checkInteger } from '../options.js'
import { checkSeed, DOMAINS, permutation, RandomStream } from '../random.js'
import { sizeOfShape } from '../shape.js'
import { fromArrays, type Splits, standardize } from './dataset.js'

/** Test samples draw from streams that no training set reaches. */
const TEST_STREAM = 2 ** 31
const MAX_SAMPLES = 10_000_000

export interface Drawing {
  /** Of an image, [C, H, W]. */
  readonly shape: readonly [number, number, number]
  readonly classNames: readonly string[]
  /** Draws one of class `label` into `image`, zero on entry. */
  readonly draw: (label: number, random: RandomStream, image: Uint8Array) => void
}

/**
 * @param who names the caller in messages
 * @throws ERR_ARGUMENT for counts and seeds that are none
 */
export function drawSplits(
  who: string,
  { shape, classNames, draw }: Drawing,
  { train, test, seed }: { train: number; test: number; seed: number },
): Splits {
  checkSeed(seed, who)
  checkInteger(who, 'train', train, 0, MAX_SAMPLES)
  checkInteger(who, 'test', test, 0, MAX_SAMPLES)
  const size = sizeOfShape(shape)
  /** As many of each class as of any other, in an order that says nothing. */
  const drawSet = (count: number, firstStream: number) => {
    const x = new Uint8Array(count * size)
    const y = permutation(count, seed, firstStream, DOMAINS.data).map((place) => place % classNames.length)
    for (let i = 0; i < count; i++) {
      const random = new RandomStream(seed, firstStream + i + 1, DOMAINS.data)
      draw(y[i]!, random, x.subarray(i * size, (i + 1) * size))
    }
    return { x, y }
  }
  const drawn = { train: drawSet(train, 0), test: drawSet(test, TEST_STREAM) }
  const common = { shape, classNames, normalization: standardize(drawn.train.x, shape) }
  return { train: fromArrays({ ...drawn.train, ...common }), test: fromArrays({ ...drawn.test, ...common }) }
}
