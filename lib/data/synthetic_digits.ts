/**
 * Handwritten-looking digits drawn by a program, so that a network can be trained where nothing can be downloaded.
 * The same seed gives the same pictures; sample i depends on (seed, i) alone.
 *
 * One digit: a glyph of digit_glyphs.ts, every point moved a little (another hand) → a Catmull-Rom curve through the
 * points, sampled → an affine map (slant, rotation, scale in x and y, shift) → an elastic displacement, a sum of a few
 * slow sine waves over the plane → the pen: each pixel takes its distance to the nearest segment, whose radius varies
 * along the stroke, and a soft edge makes grey of it → a little noise. Images are uint8, [N, 1, 28, 28], ink 255.
 */

import { checkOptions } from '../options.js'
import type { RandomStream } from '../random.js'
import type { Splits } from './dataset.js'
import { GLYPHS, type Glyph } from './digit_glyphs.js'
import { drawSplits } from './drawn.js'

export interface SyntheticDigitsOptions {
  /** How many to train on. Default 10,000. */
  train?: number
  /** Default 2,000. */
  test?: number
  /** Default 0, whatever setSeed() says: the set stays the same while runs differ. */
  seed?: number
}

const SIZE = 28
const PIXELS = SIZE * SIZE

/** How far a hand strays; lengths in pixels unless said otherwise. */
const HAND = {
  /** Height and width of the glyph box. */
  height: [17.5, 21],
  width: [12.5, 20],
  rotation: 0.12, // radians, standard deviation
  slant: [-0.15, 0.4], // x per y
  shift: 0.65, // standard deviation
  point: 3.3, // hundredths of the box, standard deviation
  waves: 3,
  waveHeight: [0.2, 0.9],
  waveLength: [14, 34],
  penRadius: [0.8, 1.7],
  /** Radius varies along a stroke by this share. */
  pressure: 0.3,
  /** Width of the soft edge. */
  edge: [0.9, 1.7],
  ink: [0.78, 1],
  /** Of 255. */
  noise: 16,
} as const

/**
 * Images of the ten digits, as many of each.
 *
 * @throws ERR_ARGUMENT for counts that are no integers from 0 to 10,000,000, and for a seed that is none
 */
export async function syntheticDigits(options: SyntheticDigitsOptions = {}): Promise<Splits> {
  const { train = 10_000, test = 2_000, seed = 0 } = checkOptions('syntheticDigits', options, ['train', 'test', 'seed'])
  const classNames = GLYPHS.map((_, i) => String(i))
  return drawSplits('syntheticDigits', { shape: [1, SIZE, SIZE], classNames, draw: drawDigit }, { train, test, seed })
}

/** image: [28, 28], zero on entry. */
function drawDigit(digit: number, random: RandomStream, image: Uint8Array): void {
  const variants = GLYPHS[digit]!
  const glyph = variants[random.below(variants.length)]!
  const place = randomPlacement(random)
  const radius = random.uniform(...HAND.penRadius)
  const edge = random.uniform(...HAND.edge)
  /** Distance to the ink's border, negative inside, of every pixel. */
  const distance = new Float32Array(PIXELS).fill(SIZE)
  for (const stroke of moved(glyph, random)) {
    const phase = random.uniform(0, 2 * Math.PI)
    const turns = random.uniform(0.5, 2)
    const curve = sampleCurve(stroke)
    const segments = curve.length / 2 - 1
    let fromX = 0
    let fromY = 0
    let fromRadius = 0
    for (let i = 0; i <= segments; i++) {
      const [toX, toY] = place(curve[2 * i]!, curve[2 * i + 1]!)
      const wobble = Math.sin(phase + (2 * Math.PI * turns * i) / Math.max(segments, 1))
      const toRadius = radius * (1 + HAND.pressure * wobble)
      if (i > 0) coverSegment(distance, fromX, fromY, fromRadius, toX, toY, toRadius, edge)
      fromX = toX
      fromY = toY
      fromRadius = toRadius
    }
  }
  const ink = 255 * random.uniform(...HAND.ink)
  const noise = HAND.noise * random.uniform()
  for (let i = 0; i < PIXELS; i++) {
    const cover = Math.min(Math.max(0.5 - distance[i]! / edge, 0), 1)
    // A smooth ramp looks like a blurred scan; noise is a triangle distribution, at the scale of the ink.
    const value = ink * cover * cover * (3 - 2 * cover)
    const word = random.word()
    const grain = ((word & 0xffff) + (word >>> 16)) / 0xffff - 1
    image[i] = Math.min(Math.max(Math.round(value + noise * grain), 0), 255)
  }
}

/** The glyph with its points moved; a corner, a point written twice, stays one. */
function moved(glyph: Glyph, random: RandomStream): number[][] {
  return glyph.map((stroke) => {
    const out: number[] = []
    for (let i = 0; i < stroke.length; i += 2) {
      const corner = i > 0 && stroke[i] === stroke[i - 2] && stroke[i + 1] === stroke[i - 1]
      if (corner) out.push(out[i - 2]!, out[i - 1]!)
      else out.push(stroke[i]! + HAND.point * random.normal(), stroke[i + 1]! + HAND.point * random.normal())
    }
    return out
  })
}

/** From the glyph's box of 100 x 100 to pixels: slant, scale, rotation, shift, then the elastic waves. */
function randomPlacement(random: RandomStream): (x: number, y: number) => [number, number] {
  const height = random.uniform(...HAND.height) / 100
  const width = random.uniform(...HAND.width) / 100
  const slant = random.uniform(...HAND.slant)
  const angle = HAND.rotation * random.normal()
  const cosine = Math.cos(angle)
  const sine = Math.sin(angle)
  const centreX = (SIZE - 1) / 2 + HAND.shift * random.normal()
  const centreY = (SIZE - 1) / 2 + HAND.shift * random.normal()
  const waves = Array.from({ length: HAND.waves }, () => {
    const direction = random.uniform(0, 2 * Math.PI)
    const frequency = (2 * Math.PI) / random.uniform(...HAND.waveLength)
    const push = random.uniform(0, 2 * Math.PI)
    const waveHeight = random.uniform(...HAND.waveHeight)
    return {
      alongX: frequency * Math.cos(direction),
      alongY: frequency * Math.sin(direction),
      phase: random.uniform(0, 2 * Math.PI),
      pushX: waveHeight * Math.cos(push),
      pushY: waveHeight * Math.sin(push),
    }
  })
  return (glyphX, glyphY) => {
    const v = (glyphY - 50) * height
    const u = (glyphX - 50) * width - slant * v
    const x = centreX + cosine * u - sine * v
    const y = centreY + sine * u + cosine * v
    let pushedX = x
    let pushedY = y
    for (const wave of waves) {
      const height = Math.sin(wave.alongX * x + wave.alongY * y + wave.phase)
      pushedX += wave.pushX * height
      pushedY += wave.pushY * height
    }
    return [pushedX, pushedY]
  }
}

const STEPS = 4

/** Points of the Catmull-Rom curve through x, y, x, y, ...: STEPS to a span, and the last. */
function sampleCurve(points: readonly number[]): number[] {
  const count = points.length / 2
  const out: number[] = []
  const at = (i: number, axis: number) => points[2 * Math.min(Math.max(i, 0), count - 1) + axis]!
  for (let i = 0; i + 1 < count; i++) {
    for (let step = 0; step < STEPS; step++) {
      const t = step / STEPS
      for (const axis of [0, 1]) {
        const [a, b, c, d] = [at(i - 1, axis), at(i, axis), at(i + 1, axis), at(i + 2, axis)]
        out.push(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
      }
    }
  }
  out.push(at(count - 1, 0), at(count - 1, 1))
  return out
}

/** Lowers `distance` [28, 28] to that of a segment whose radius goes from r0 to r1. */
function coverSegment(
  distance: Float32Array,
  x0: number,
  y0: number,
  r0: number,
  x1: number,
  y1: number,
  r1: number,
  edge: number,
): void {
  const reach = Math.max(r0, r1) + edge
  const left = Math.max(Math.ceil(Math.min(x0, x1) - reach), 0)
  const right = Math.min(Math.floor(Math.max(x0, x1) + reach), SIZE - 1)
  const top = Math.max(Math.ceil(Math.min(y0, y1) - reach), 0)
  const bottom = Math.min(Math.floor(Math.max(y0, y1) + reach), SIZE - 1)
  const dx = x1 - x0
  const dy = y1 - y0
  const inverse = 1 / Math.max(dx * dx + dy * dy, 1e-9)
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const t = Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) * inverse, 0), 1)
      const gapX = x - x0 - t * dx
      const gapY = y - y0 - t * dy
      const gap = Math.sqrt(gapX * gapX + gapY * gapY) - r0 - t * (r1 - r0)
      const i = y * SIZE + x
      if (gap < distance[i]!) distance[i] = gap
    }
  }
}
