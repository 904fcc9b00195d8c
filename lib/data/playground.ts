/**
 * Points of the plane as the TensorFlow Playground draws them: four problems with two classes, two with a number to
 * predict. x is float32 [N, 2] in about [-6, 6]². `noise` is the Playground's, 0 to 50 per cent: it moves the points
 * after (in spirals: while) their class was decided where they stood, so classes overlap.
 *
 *     circle     inside radius 2.5 | ring from 3.5 to 5          xor       x₁x₂ ≥ 0 | x₁x₂ < 0, 0.3 away from the axes
 *     gauss      around (2, 2) | around (-2, -2)                 spiral    two arms of 1.75 turns
 *     reg-plane  y = (x₁ + x₂) / 10, in a disc of radius 6       reg-gauss y: the strongest of six bumps of radius 2
 */
import { ForjaError } from '../errors.js'
import { checkInteger, checkNumber, checkOptions } from '../options.js'
import { checkSeed, DOMAINS, RandomStream } from '../random.js'
import { split } from './combine.js'
import { fromArrays, type Splits } from './dataset.js'

export interface PlaygroundOptions {
  /** Points in all. Default 500; 1,200 of a regression. */
  samples?: number
  /** Per cent, 0 to 50. Default 0. */
  noise?: number
  /** The share that is held out. Default 0.5. */
  test?: number
  /** Default 0, whatever setSeed() says. */
  seed?: number
}

/** x₁, x₂ and the class (1 or 0), or the number to predict. */
type Point = readonly [x1: number, x2: number, y: number]
/** @param i point i of `samples`; @param noise 0 to 0.5 */
type Draw = (random: RandomStream, noise: number, i: number, samples: number) => Point

const RADIUS = 5
const PADDING = 0.3
const TURNS = 1.75
/** Of reg-gauss: where, and whether the bump is high or low. */
const BUMPS = [
  [-4, 2.5, 1],
  [0, 2.5, -1],
  [4, 2.5, 1],
  [-4, -2.5, -1],
  [0, -2.5, 1],
  [4, -2.5, -1],
] as const
const BUMP_RADIUS = 2

/** 1 for the first half of the points, 0 for the second. */
const half = (i: number, samples: number): 0 | 1 => (i < Math.ceil(samples / 2) ? 1 : 0)

const CLASSES: Readonly<Record<string, Draw>> = {
  circle(random, noise, i, samples) {
    const [low, high] = half(i, samples) === 1 ? [0, RADIUS * 0.5] : [RADIUS * 0.7, RADIUS]
    const r = random.uniform(low, high)
    const angle = random.uniform(0, 2 * Math.PI)
    const [x1, x2] = [r * Math.sin(angle), r * Math.cos(angle)]
    const moved = Math.hypot(x1 + noise * random.uniform(-RADIUS, RADIUS), x2 + noise * random.uniform(-RADIUS, RADIUS))
    return [x1, x2, moved < RADIUS * 0.5 ? 1 : 0]
  },
  xor(random, noise) {
    const away = (v: number) => v + (v > 0 ? PADDING : -PADDING)
    const [x1, x2] = [away(random.uniform(-RADIUS, RADIUS)), away(random.uniform(-RADIUS, RADIUS))]
    const moved = [x1, x2].map((v) => v + noise * random.uniform(-RADIUS, RADIUS))
    return [x1, x2, moved[0]! * moved[1]! >= 0 ? 1 : 0]
  },
  gauss(random, noise, i, samples) {
    const y = half(i, samples)
    // The Playground turns its noise into the variance of the clouds: 0.5 to 4.
    const deviation = Math.sqrt(0.5 + 7 * noise)
    const centre = y === 1 ? 2 : -2
    return [centre + deviation * random.normal(), centre + deviation * random.normal(), y]
  },
  spiral(random, noise, i, samples) {
    const y = half(i, samples)
    const count = y === 1 ? Math.ceil(samples / 2) : Math.floor(samples / 2)
    const share = (y === 1 ? i : i - Math.ceil(samples / 2)) / count
    const angle = TURNS * share * 2 * Math.PI + (y === 1 ? 0 : Math.PI)
    const r = share * RADIUS
    return [r * Math.sin(angle) + noise * random.uniform(-1, 1), r * Math.cos(angle) + noise * random.uniform(-1, 1), y]
  },
}

const NUMBERS: Readonly<Record<string, Draw>> = {
  'reg-plane'(random, noise) {
    const [x1, x2] = [random.uniform(-6, 6), random.uniform(-6, 6)]
    return [x1, x2, (x1 + x2 + noise * (random.uniform(-6, 6) + random.uniform(-6, 6))) / 10]
  },
  'reg-gauss'(random, noise) {
    const [x1, x2] = [random.uniform(-6, 6), random.uniform(-6, 6)]
    const [u1, u2] = [x1 + noise * random.uniform(-6, 6), x2 + noise * random.uniform(-6, 6)]
    const heights = BUMPS.map(([c1, c2, sign]) => sign * Math.max(0, 1 - Math.hypot(u1 - c1, u2 - c2) / BUMP_RADIUS))
    return [x1, x2, heights.reduce((most, height) => (Math.abs(height) > Math.abs(most) ? height : most), 0)]
  },
}

/** The names that {@link playground} takes: first those with classes. */
export const PLAYGROUND_SETS: readonly string[] = [...Object.keys(CLASSES), ...Object.keys(NUMBERS)]

/**
 * One of the Playground's sets, drawn anew and the same for the same seed: y are int32 classes 0 and 1, or float32
 * [N, 1].
 *
 * @throws ERR_ARGUMENT for an unknown name, listing those there are, or an option out of range.
 */
export function playground(name: string, options: PlaygroundOptions = {}): Splits {
  checkOptions('playground', options, ['samples', 'noise', 'test', 'seed'])
  if (!PLAYGROUND_SETS.includes(name)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `playground: unknown set '${name}'; expected one of ${PLAYGROUND_SETS.join(', ')}`,
    )
  }
  const draw = CLASSES[name] ?? NUMBERS[name]!
  const isClass = name in CLASSES
  const { samples = isClass ? 500 : 1200, noise = 0, test = 0.5, seed = 0 } = options
  checkSeed(seed, 'playground')
  checkInteger('playground', 'samples', samples, 2)
  checkNumber('playground', 'noise', noise, 0, 50)
  const random = new RandomStream(seed, PLAYGROUND_SETS.indexOf(name), DOMAINS.data)
  const points = Array.from({ length: samples }, (_, i) => draw(random, noise / 100, i, samples))
  const x = Float32Array.from(points.flatMap((point) => point.slice(0, 2)))
  const y = points.map((point) => point[2])
  const common = { x, shape: [2], featureNames: ['x1', 'x2'] }
  const all = isClass
    ? fromArrays({ ...common, y: Int32Array.from(y), classNames: ['0', '1'] })
    : fromArrays({ ...common, y: Float32Array.from(y), targetShape: [1] })
  return split(all, { test, seed })
}
