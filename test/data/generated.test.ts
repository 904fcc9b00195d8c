import { describe, expect, it } from 'vitest'
import { PLAYGROUND_SETS, playground } from '../../lib/data/playground.js'
import { syntheticShapes } from '../../lib/data/synthetic_shapes.js'

type Set = ReturnType<typeof playground>['train']

/** [x1, x2, y] of every point. */
function points({ train, test }: { train: Set; test: Set }): [number, number, number][] {
  return [train, test].flatMap((set) =>
    Array.from({ length: set.length }, (_, i): [number, number, number] => [
      set.x[2 * i]!,
      set.x[2 * i + 1]!,
      set.y[i]!,
    ]),
  )
}

describe('playground', () => {
  it('draws the sets of the Playground, in two halves', () => {
    expect(PLAYGROUND_SETS).toEqual(['circle', 'xor', 'gauss', 'spiral', 'reg-plane', 'reg-gauss'])
    for (const name of PLAYGROUND_SETS) {
      const sets = playground(name)
      const size = name.startsWith('reg-') ? 600 : 250
      expect([sets.train.length, sets.test.length]).toEqual([size, size])
      expect(sets.train.fields[0]).toMatchObject({ shape: [2], dtype: 'float32' })
      expect(sets.train.fields[1]).toMatchObject(
        name.startsWith('reg-') ? { shape: [1], dtype: 'float32' } : { shape: [], dtype: 'int32', classes: 2 },
      )
    }
  })

  it('without noise the classes are what the names say', () => {
    for (const [u, v, y] of points(playground('circle'))) {
      const radius = Math.hypot(u, v)
      expect(y === 1 ? radius < 2.5 : radius >= 3.5 && radius <= 5).toBe(true)
    }
    for (const [u, v, y] of points(playground('xor'))) {
      expect(y).toBe(u * v >= 0 ? 1 : 0)
      expect(Math.min(Math.abs(u), Math.abs(v))).toBeGreaterThanOrEqual(0.3 - 1e-6)
    }
    for (const [u, v, y] of points(playground('spiral'))) {
      const turn = Math.hypot(u, v) / 5
      const angle = 1.75 * turn * 2 * Math.PI + (y === 1 ? 0 : Math.PI)
      expect(Math.hypot(u - 5 * turn * Math.sin(angle), v - 5 * turn * Math.cos(angle))).toBeLessThan(1e-4)
    }
    for (const [u, v, y] of points(playground('reg-plane'))) expect(y).toBeCloseTo((u + v) / 10, 5)
    for (const [u, v, y] of points(playground('reg-gauss'))) {
      if (Math.hypot(u - 4, v - 2.5) < 1) expect(y).toBeCloseTo(1 - Math.hypot(u - 4, v - 2.5) / 2, 5)
      if (Math.hypot(u, v - 2.5) < 1) expect(y).toBeCloseTo(Math.hypot(u, v - 2.5) / 2 - 1, 5)
    }
    const clouds = points(playground('gauss', { samples: 4000 }))
    for (const [y, centre] of [
      [1, 2],
      [0, -2],
    ]) {
      const cloud = clouds.filter((point) => point[2] === y).map((point) => point[0])
      const mean = cloud.reduce((a, b) => a + b) / cloud.length
      expect(mean).toBeCloseTo(centre!, 1)
      expect(cloud.reduce((sum, u) => sum + (u - mean) ** 2, 0) / cloud.length).toBeCloseTo(0.5, 1)
    }
  })

  it('noise makes classes overlap', () => {
    const wrong = (noise: number) =>
      points(playground('xor', { noise, seed: 2 })).filter(([u, v, y]) => y !== (u * v >= 0 ? 1 : 0)).length
    expect(wrong(0)).toBe(0)
    expect(wrong(50)).toBeGreaterThan(wrong(10))
    expect(wrong(50)).toBeLessThan(250)
  })

  it('is the same for the same seed', () => {
    expect(points(playground('gauss', { seed: 3 }))).toEqual(points(playground('gauss', { seed: 3 })))
    expect(points(playground('gauss', { seed: 3 }))).not.toEqual(points(playground('gauss', { seed: 4 })))
  })

  it.each([
    ['moons', {}, "playground: unknown set 'moons'; expected one of circle, xor, gauss, spiral, reg-plane, reg-gauss"],
    ['toString', {}, "playground: unknown set 'toString'"],
    ['xor', { noise: 60 }, 'playground: noise 60; expected a number from 0 to 50'],
    ['xor', { samples: 1 }, 'playground: samples 1; expected an integer from 2'],
    ['xor', { seed: -1 }, 'playground: seed is -1'],
  ])('%s %j is an error', (name, options, message) => {
    expect(() => playground(name, options)).toThrow(message)
  })
})

describe('syntheticShapes', () => {
  it('draws colour images of ten classes, each from its own numbers', async () => {
    const { train, test } = await syntheticShapes({ train: 30, test: 10, seed: 1 })
    expect(train.fields[0]).toMatchObject({ shape: [3, 32, 32], dtype: 'uint8' })
    expect(train.classNames).toEqual('circle ring square frame triangle cross bar crescent star dots'.split(' '))
    for (let label = 0; label < 10; label++) expect(train.y.filter((y) => y === label)).toHaveLength(3)
    const again = await syntheticShapes({ train: 30, test: 0, seed: 1 })
    expect(again.train.x).toEqual(train.x)
    const pictures = new Set([...Array(30).keys()].map((i) => train.get(i, { raw: true }).x.join()))
    expect(pictures.size).toBe(30)
    expect(test.get(0).x).not.toEqual(train.get(0).x)
  })

  it('shows shape and background in different colours', async () => {
    const { train } = await syntheticShapes({ train: 50, test: 0 })
    for (let i = 0; i < 50; i++) {
      const { x, y } = train.get(i, { raw: true })
      if (train.classNames![Number(y)] !== 'circle') continue
      const colour = (at: number) => [0, 1, 2].map((c) => x[c * 1024 + at]!)
      const [centre, corner] = [colour(16 * 32 + 16), colour(0)]
      expect(Math.hypot(...centre.map((v, c) => v - corner[c]!))).toBeGreaterThan(60)
    }
  })

  it('checks its options', async () => {
    await expect(syntheticShapes({ train: -1 })).rejects.toThrow(
      'syntheticShapes: train -1; expected an integer from 0 to 10000000',
    )
  })
})
