/**
 * Coloured shapes drawn by a program, ten classes as CIFAR-10 has: something for a convolutional network to learn where
 * nothing can be downloaded. Sample i depends on (seed, i) alone.
 *
 * One image: a background that changes colour from corner to corner → a shape of another colour, given by its signed
 * distance d(u, v) in its own coordinates (about [-1, 1]², negative inside), at a random place, size and angle, with an
 * edge one pixel wide → noise. uint8 [N, 3, 32, 32].
 */

import { checkOptions } from '../options.js'
import type { RandomStream } from '../random.js'
import type { Splits } from './dataset.js'
import { type Drawing, drawSplits } from './drawn.js'

export interface SyntheticShapesOptions {
  /** How many to train on. Default 5,000. */
  train?: number
  /** Default 1,000. */
  test?: number
  /** Default 0, whatever setSeed() says: the set stays the same while runs differ. */
  seed?: number
}

/** Negative inside. */
type Distance = (u: number, v: number) => number

const SIZE = 32
const PLANE = SIZE * SIZE
/** Of 255. */
const NOISE = 24
/** Least distance of the two colours, of 255 √3. */
const CONTRAST = 110

const box = (u: number, v: number, halfWidth: number, halfHeight: number) =>
  Math.max(Math.abs(u) - halfWidth, Math.abs(v) - halfHeight)

const SHAPES: Readonly<Record<string, Distance>> = {
  circle: (u, v) => Math.hypot(u, v) - 0.8,
  ring: (u, v) => Math.abs(Math.hypot(u, v) - 0.65) - 0.2,
  square: (u, v) => box(u, v, 0.7, 0.7),
  frame: (u, v) => Math.abs(box(u, v, 0.6, 0.6)) - 0.17,
  triangle: (u, v) => Math.max(v - 0.6, 0.866 * Math.abs(u) - 0.5 * v - 0.42),
  cross: (u, v) => Math.min(box(u, v, 0.25, 0.9), box(u, v, 0.9, 0.25)),
  bar: (u, v) => box(u, v, 0.24, 0.95),
  crescent: (u, v) => Math.max(Math.hypot(u, v) - 0.85, 0.7 - Math.hypot(u - 0.4, v)),
  star(u, v) {
    const radius = Math.hypot(u, v)
    return 0.7 * (radius - 0.62 - 0.3 * Math.cos(5 * Math.atan2(u, -v)))
  },
  dots: (u, v) => Math.min(Math.hypot(u - 0.5, v), Math.hypot(u + 0.5, v)) - 0.36,
}
const CLASS_NAMES = Object.keys(SHAPES)

/**
 * Images of ten classes: circle, ring, square, frame, triangle, cross, bar, crescent, star, dots.
 *
 * @throws ERR_ARGUMENT for counts that are no integers from 0 to 10,000,000, and for a seed that is none
 */
export async function syntheticShapes(options: SyntheticShapesOptions = {}): Promise<Splits> {
  const { train = 5_000, test = 1_000, seed = 0 } = checkOptions('syntheticShapes', options, ['train', 'test', 'seed'])
  const draw: Drawing['draw'] = (label, random, image) => drawShape(SHAPES[CLASS_NAMES[label]!]!, random, image)
  const drawing = { shape: [3, SIZE, SIZE], classNames: CLASS_NAMES, draw } as const
  return drawSplits('syntheticShapes', drawing, { train, test, seed })
}

/** image: [3, 32, 32] */
function drawShape(distance: Distance, random: RandomStream, image: Uint8Array): void {
  const [ground, far, ink] = colours(random)
  const radius = random.uniform(8, 13)
  const angle = random.uniform(-0.5, 0.5)
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)]
  const [centreX, centreY] = [random.uniform(12, 19), random.uniform(12, 19)]
  const slope = random.uniform(0, 2 * Math.PI)
  for (let y = 0, i = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++, i++) {
      const [dx, dy] = [(x - centreX) / radius, (y - centreY) / radius]
      const d = radius * distance(cosine * dx + sine * dy, cosine * dy - sine * dx)
      const cover = Math.min(Math.max(0.5 - d, 0), 1)
      const blend = 0.5 + (0.7 * (Math.cos(slope) * (x - SIZE / 2) + Math.sin(slope) * (y - SIZE / 2))) / SIZE
      for (let c = 0; c < 3; c++) {
        const behind = ground[c]! + blend * (far[c]! - ground[c]!)
        const grain = NOISE * (random.uniform() + random.uniform() - 1)
        const value = behind + cover * (ink[c]! - behind) + grain
        image[c * PLANE + i] = Math.min(Math.max(Math.round(value), 0), 255)
      }
    }
  }
}

/** Two of the background, near each other, and one of the shape that differs from both. */
function colours(random: RandomStream): [ground: number[], far: number[], ink: number[]] {
  const colour = () => Array.from({ length: 3 }, () => random.uniform(0, 255))
  const ground = colour()
  const far = ground.map((value) => value + random.uniform(-60, 60))
  for (;;) {
    const ink = colour()
    const apart = (other: number[]) => Math.hypot(...ink.map((value, c) => value - other[c]!))
    if (apart(ground) > CONTRAST && apart(far) > CONTRAST) return [ground, far, ink]
  }
}
