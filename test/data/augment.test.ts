import { describe, expect, it } from 'vitest'
import { type AugmentOptions, augment } from '../../lib/data/augment.js'
import { map } from '../../lib/data/combine.js'
import { type BatchOptions, type Dataset, fromArrays } from '../../lib/data/dataset.js'
import { uniform } from '../../lib/random.js'

/** Whole batches as one array of images. */
async function images(dataset: Dataset, options: BatchOptions = {}): Promise<number[][]> {
  const out: number[][] = []
  for await (const { x, indices } of dataset.batches(options)) {
    const size = x.length / indices.length
    for (const [i, index] of indices.entries()) out[index] = [...x.subarray(i * size, (i + 1) * size)]
  }
  return out
}

const [C, H, W] = [2, 5, 4]
const COUNT = 60
const x = Uint8Array.from(uniform(COUNT * C * H * W, 3), (value) => 1 + Math.floor(254 * value))
const set = fromArrays({
  x,
  y: new Uint8Array(COUNT),
  shape: [C, H, W],
  classes: 1,
  normalization: { scale: [0.5, 2], offset: [1, -1] },
})
const raw = { raw: true, batchSize: 16 }
const original = await images(set, raw)

/** Source pixel by pixel: what `at` says for target (c, y, x). */
function drawn(image: number[], at: (y: number, x: number) => [number, number], fill = 0): number[] {
  const out: number[] = []
  for (let c = 0; c < C; c++) {
    for (let y = 0; y < H; y++) {
      for (let x = 0; x < W; x++) {
        const [sy, sx] = at(y, x)
        out.push(sy < 0 || sy >= H || sx < 0 || sx >= W ? fill : image[(c * H + sy) * W + sx]!)
      }
    }
  }
  return out
}

describe('augment', () => {
  it('without changes gives what the data set gives', async () => {
    const same = augment(set, {})
    expect(same.fields).toEqual(set.fields)
    expect(await images(same, raw)).toEqual(original)
    const plain = await images(set)
    for (const [i, image] of (await images(same)).entries()) {
      for (const [j, value] of image.entries()) expect(value).toBeCloseTo(plain[i]![j]!, 4)
    }
  })

  it.each([
    ['horizontal', (y: number, x: number): [number, number] => [y, W - 1 - x]],
    ['vertical', (y: number, x: number): [number, number] => [H - 1 - y, x]],
  ] as const)('flips about half of the images, %s', async (flip, at) => {
    let flipped = 0
    for (const [i, image] of (await images(augment(set, { flip }), raw)).entries()) {
      const mirrored = drawn(original[i]!, at)
      if (image.join() === mirrored.join()) flipped++
      else expect(image).toEqual(original[i])
    }
    expect(flipped).toBeGreaterThan(COUNT / 4)
    expect(flipped).toBeLessThan((3 * COUNT) / 4)
  })

  it('crops from the padded image, every place of it', async () => {
    const places = new Set<string>()
    for (const [i, image] of (await images(augment(set, { crop: 1, fill: 7 }), raw)).entries()) {
      const found = [-1, 0, 1]
        .flatMap((dy) => [-1, 0, 1].map((dx) => [dy, dx] as const))
        .find(([dy, dx]) => image.join() === drawn(original[i]!, (y, x) => [y + dy, x + dx], 7).join())
      expect(found).toBeDefined()
      places.add(String(found))
    }
    expect(places.size).toBe(9)
  })

  it('interpolates between the four nearest pixels', async () => {
    // A ramp is its own interpolation: v = 20 x + 30 y stays one under any affine map, away from the border.
    const size = 21
    const ramp = Float32Array.from(
      { length: size * size },
      (_, i) => (20 * (i % size) + 30 * Math.floor(i / size)) / 1e3,
    )
    const one = fromArrays({ x: ramp, y: [0], shape: [1, size, size], classes: 1 })
    const turned = augment(one, { rotate: 40, scale: [1.2, 1.5], shear: 10 })
    const seen = new Set<number>()
    for (let epoch = 0; epoch < 5; epoch++) {
      const [image] = await images(turned, { epoch, seed: 1 })
      const centre = 10 * size + 10
      const [dx, dy] = [image![centre + 1]! - image![centre]!, image![centre + size]! - image![centre]!]
      expect(image![centre]).toBeCloseTo(0.5, 5)
      for (let y = 7; y < 14; y++) {
        for (let x = 7; x < 14; x++) expect(image![y * size + x]).toBeCloseTo(0.5 + dx * (x - 10) + dy * (y - 10), 5)
      }
      seen.add(dx)
    }
    expect(seen.size).toBe(5)
  })

  it('rotates by the angle, scales by the factor', async () => {
    const size = 9
    const dot = new Float32Array(size * size)
    dot[4 * size + 7] = 1
    const one = fromArrays({ x: dot, y: [0], shape: [1, size, size], classes: 1 })
    const [image] = await images(augment(one, { scale: [4 / 3, 4 / 3] }))
    // The dot 3 right of the centre goes 4 right of it.
    expect(image!.indexOf(Math.max(...image!))).toBe(4 * size + 8)
    const [shrunk] = await images(augment(one, { scale: [2 / 3, 2 / 3] }))
    expect(shrunk!.indexOf(Math.max(...shrunk!))).toBe(4 * size + 6)
  })

  it('changes light about the mean, within the range', async () => {
    const lit = await images(augment(set, { brightness: 0.2, contrast: 0.5 }), raw)
    const slopes = new Set<number>()
    for (const [i, image] of lit.entries()) {
      const source = original[i]!
      const inner = source.map((_, j) => j).filter((j) => image[j]! > 0 && image[j]! < 255)
      const [low, high] = [inner[0]!, inner.find((j) => Math.abs(source[j]! - source[inner[0]!]!) > 60)!]
      if (high === undefined) continue
      const slope = (image[high]! - image[low]!) / (source[high]! - source[low]!)
      slopes.add(Math.round(10 * slope))
      expect(slope).toBeGreaterThan(0.45)
      expect(slope).toBeLessThan(1.55)
      // A line, up to rounding.
      for (const j of inner)
        expect(Math.abs(image[j]! - image[low]! - slope * (source[j]! - source[low]!))).toBeLessThan(4)
    }
    expect(slopes.size).toBeGreaterThan(4)
  })

  it('cuts a square out of all channels', async () => {
    for (const [i, image] of (await images(augment(set, { cutout: 2, fill: 0 }), raw)).entries()) {
      const holes = image.map((value, j) => (value === 0 ? j : -1)).filter((j) => j >= 0)
      expect(holes.length).toBeGreaterThanOrEqual(2)
      expect(holes.length).toBeLessThanOrEqual(2 * 4)
      expect(holes.slice(holes.length / 2)).toEqual(holes.slice(0, holes.length / 2).map((j) => j + H * W))
      expect(image.filter((value) => value !== 0)).toEqual(original[i]!.filter((_, j) => !holes.includes(j)))
    }
  })

  const all: AugmentOptions = {
    crop: 1,
    flip: 'both',
    rotate: 20,
    translate: 0.1,
    brightness: 0.1,
    contrast: 0.1,
    cutout: 1,
  }

  it('is decided by seed, epoch and sample: not by batches, order or threads', async () => {
    const options = { seed: 5, epoch: 3 }
    const first = await images(augment(set, all), options)
    expect(await images(augment(set, all), { ...options, batchSize: 7 })).toEqual(first)
    expect(await images(augment(set, all), { ...options, shuffle: true })).toEqual(first)
    expect(await images(augment(set, { ...all, workers: 3 }), { ...options, batchSize: 7 })).toEqual(first)
    const others = await images(augment(set, all), { seed: 5, epoch: 4 })
    const reseeded = await images(augment(set, all), { seed: 6, epoch: 3 })
    for (let i = 0; i < COUNT; i++) {
      expect(others[i]).not.toEqual(first[i])
      expect(reseeded[i]).not.toEqual(first[i])
    }
    expect([...augment(set, all).get(4).x]).toEqual((await images(augment(set, all), {}))[4])
  })

  it('normalises float32 without a normalisation, and reads any data set', async () => {
    const mapped = map(set, ({ x, y }) => ({ x: (x as Float32Array).map((v) => v / 600), y }))
    const expected = await images(mapped)
    expect(await images(augment(mapped, {}))).toEqual(expected)
  })

  it('leaves the event loop free', async () => {
    const big = fromArrays({
      x: new Uint8Array(64 * 3 * 128 * 128),
      y: new Uint8Array(64),
      shape: [3, 128, 128],
      classes: 1,
    })
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const cpu = process.cpuUsage()
    try {
      for await (const _ of augment(big, { rotate: 30 }).batches({ batchSize: 64 })) {
        // One batch of some hundred milliseconds' work.
      }
    } finally {
      clearInterval(timer)
    }
    expect(process.cpuUsage(cpu).user).toBeGreaterThan(0)
    expect(turns).toBeGreaterThan(5)
  })

  it('ends its threads when the reader leaves early or fails', async () => {
    const read = async () => {
      for await (const _ of augment(set, all).batches({ batchSize: 2 })) throw new RangeError('enough')
    }
    await expect(read()).rejects.toThrow('enough')
    for await (const _ of augment(set, all).batches({ batchSize: 2 })) break
  })

  it.each([
    [{ crop: 1.5 }, 'augment: crop 1.5; expected an integer from 0, in pixels'],
    [{ rotate: 200 }, 'augment: rotate 200; expected a number from 0 to 180'],
    [{ scale: [2, 1] }, 'augment: scale [2, 1]; expected [low, high] over 0'],
    [{ flip: 'up' }, `augment: flip 'up'; expected a boolean, 'horizontal', 'vertical' or 'both'`],
    [{ fill: Number.NaN }, 'augment: fill NaN; expected a finite number'],
    [{ contrast: -1 }, 'augment: contrast -1; expected a number from 0 to 1'],
    [{ cutout: -1 }, 'augment: cutout -1; expected an integer from 0, in pixels'],
    [{ workers: 0 }, 'augment: workers 0; expected an integer from 1'],
    [{ workers: 1e6 }, 'augment: workers 1000000; expected an integer from 1 to 1024'],
    // More places than 32 bits tell apart: drawing one never ended.
    [{ crop: 2 ** 32 }, 'augment: crop 4294967296; expected an integer from 0, in pixels, up to 2^31 - 1'],
  ])('%j is an error', (options, message) => {
    expect(() => augment(set, options as AugmentOptions)).toThrow(message)
  })

  it('wants images', () => {
    const flat = fromArrays({ x: new Int32Array(4), y: [0], shape: [4], classes: 1 })
    expect(() => augment(flat, {})).toThrow(
      'augment: samples are int32 (4,); expected uint8 or float32 images (C, H, W)',
    )
    expect(() => augment(undefined as never, {})).toThrow('augment: the data set must be a data set')
  })
})
