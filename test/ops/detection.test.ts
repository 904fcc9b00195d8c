import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { RandomStream } from '../../lib/random.js'
import {
  checkGolden,
  compareWithReference,
  expectClose,
  goldenCases,
  goldenTensor,
  randomTensor,
} from '../helpers/compare.js'
import { DEVICES } from '../helpers/device.js'

describe.each(DEVICES)('golden on %s', (device) => {
  it.each(goldenCases('boxIou'))('$name', (test) => checkGolden(test, ({ a, b }) => fj.boxIou(a!, b!), device))
  it.each(goldenCases('roiAlign'))('$name', (test) =>
    checkGolden(test, ({ x, rois }, attrs) => fj.roiAlign(x!, rois!, attrs as never), device),
  )
  it.each(goldenCases('roiPool'))('$name', (test) =>
    checkGolden(test, ({ x, rois }, attrs) => fj.roiPool(x!, rois!, attrs as never), device),
  )
  it.each(goldenCases('nms'))('$name', async ({ inputs, attrs, outputs }) => {
    const [boxes, scores] = [goldenTensor(inputs.boxes!), goldenTensor(inputs.scores!)]
    const run = fj.compile((b: fj.Tensor, s: fj.Tensor) => fj.nmsPadded(b, s, attrs), { device })
    const { indices, count } = await run(boxes, scores)
    const wanted = outputs.y!.data
    expect(await count!.item()).toBe(wanted.length)
    const padding = new Array(14 - wanted.length).fill(-1)
    expect([...(await indices!.data())]).toEqual([...wanted, ...padding])
    expect([...(await (await fj.nms(boxes, scores, attrs)).data())]).toEqual(wanted)
    run.dispose()
  })
})

/** n boxes in an image of `size` pixels, some hanging over its edges. */
function randomBoxes(n: number, seed: number, size = 20): number[][] {
  const stream = new RandomStream(seed, 0, 7)
  const uniform = () => stream.below(1e6) / 1e6
  return Array.from({ length: n }, () => {
    const [x, y] = [uniform() * size - 2, uniform() * size - 2]
    return [x, y, x + uniform() * size * 0.6, y + uniform() * size * 0.6].map(Math.fround)
  })
}

const rois = (n: number, images: number, seed: number) =>
  fj.tensor(randomBoxes(n, seed).map((box, i) => [i % images, ...box]))

describe('boxIou', () => {
  it('is 1 for a box and itself, 0 for boxes apart, a share for those that overlap', async () => {
    const a = fj.tensor([
      [0, 0, 2, 2],
      [5, 5, 6, 6],
    ]) // prettier-ignore
    const b = fj.tensor([
      [0, 0, 2, 2],
      [1, 1, 3, 3],
      [2, 0, 4, 2],
    ]) // prettier-ignore
    const iou = await fj.boxIou(a, b).data()
    expectClose(iou, [1, 1 / 7, 0, 0, 0, 0], 'iou')
    await fj.gradcheck((a, b) => fj.boxIou(a!, b!), [fj.tensor(randomBoxes(3, 1)), fj.tensor(randomBoxes(4, 2))], {
      tolerance: 1e-4,
    })
    expect(fj.boxIou(fj.zeros([0, 4]), b).shape).toEqual([0, 3])
  })
})

describe('nms', () => {
  it.each([1, 7, 33, 500])('keeps what the reference keeps of %i boxes', async (n) => {
    for (const iouThreshold of [0, 0.3, 0.7, 1]) {
      const inputs = [fj.tensor(randomBoxes(n, n)), randomTensor([n], 3)]
      const run = (boxes?: fj.Tensor, scores?: fj.Tensor) => {
        const { indices, count } = fj.nmsPadded(boxes!, scores!, { iouThreshold })
        return [indices, count]
      }
      await compareWithReference(run, inputs, { gradients: false, rtol: 0, atol: 0 })
    }
  })

  it('keeps the first of equal scores, and everything that overlaps nothing', async () => {
    const boxes = fj.tensor([
      [0, 0, 2, 2],
      [0, 0, 2, 2],
      [9, 9, 10, 10],
    ]) // prettier-ignore
    const keep = await boxes.nms(fj.tensor([0.5, 0.5, 0.1]))
    expect(keep.dtype).toBe('int32')
    expect(await keep.array()).toEqual([0, 2])
    expect((await fj.nms(fj.zeros([0, 4]), fj.zeros([0]))).shape).toEqual([0])
  })
})

const REGIONS: fj.RoiAlignOptions[] = [
  { outputSize: 1 },
  { outputSize: [3, 2], spatialScale: 0.5 },
  { outputSize: [7, 7], samplingRatio: 2, aligned: true },
  { outputSize: 2, samplingRatio: 3, spatialScale: 0.25 },
  { outputSize: [2, 5], aligned: true },
]

describe.each(REGIONS)('regions %o', (options) => {
  it.each([1, 7, 16, 33])('%i channels agree with the reference', async (c) => {
    const x = randomTensor([3, c, 9, 11], 1)
    const regions = rois(8, 3, 2)
    await compareWithReference((x) => fj.roiAlign(x!, regions, options), [x])
    const { outputSize, spatialScale = 1 } = options
    await compareWithReference((x) => fj.roiPool(x!, regions, { outputSize, spatialScale }), [x])
  })
})

describe('regions', () => {
  it('have gradients of first and second order', async () => {
    const x = randomTensor([2, 2, 5, 6], 4)
    const regions = fj.tensor([
      [1, 0.5, 0.5, 4.2, 3.1],
      [0, -1, 1, 3, 9],
      [1, 1, 1, 4, 4],
    ]) // prettier-ignore
    for (const pool of [
      (x: fj.Tensor) => fj.roiAlign(x, regions, { outputSize: 2, aligned: true }),
      (x: fj.Tensor) => fj.roiPool(x, regions, { outputSize: [2, 3] }),
    ]) {
      await fj.gradcheck((x) => pool(x!), [x])
      const twice = (x?: fj.Tensor) => fj.grad(fj.sum(fj.pow(pool(x!), 3)), [x!])[0]!
      await fj.gradcheck(twice, [x], { tolerance: 1e-4 })
      await compareWithReference(twice, [x])
    }
  })

  it('of a constant image are constant, and 0 where they lie outside', async () => {
    const x = fj.ones([1, 3, 8, 8])
    const inside = fj.tensor([[0, 1, 1, 6, 6]])
    expectClose(await fj.roiAlign(x, inside, { outputSize: 3 }).data(), new Array(27).fill(1), 'mean of ones')
    expect(new Set(await fj.roiPool(x, inside, { outputSize: 3 }).data())).toEqual(new Set([1]))
    const outside = fj.tensor([[0, 20, 20, 30, 30]])
    expect(new Set(await fj.roiAlign(x, outside, { outputSize: 3 }).data())).toEqual(new Set([0]))
    expect(new Set(await fj.roiPool(x, outside, { outputSize: 3 }).data())).toEqual(new Set([0]))
  })

  it('and images may be none', async () => {
    const none = fj.zeros([0, 5])
    expect(fj.roiAlign(fj.ones([1, 3, 4, 4]), none, { outputSize: 2 }).shape).toEqual([0, 3, 2, 2])
    const x = randomTensor([1, 3, 4, 4], 1)
    await compareWithReference((x) => fj.roiAlign(x!, none, { outputSize: 2 }), [x])
    await compareWithReference((x) => fj.roiPool(x!, none, { outputSize: 2 }), [x])
  })

  it.each(DEVICES)('that cannot be are named on %s', async (device) => {
    const x = fj.ones([2, 3, 4, 4])
    const fault = (text: string) =>
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining(text) })
    const read = async (build: (regions: fj.Tensor) => fj.Tensor, last: number[]) => {
      const run = fj.compile(build, { device })
      try {
        return await run(fj.tensor([[0, 0, 0, 1, 1], last]))
      } finally {
        run.dispose()
      }
    }
    const [dx] = [(r: fj.Tensor) => fj.grad(fj.sum(fj.roiAlign(x, r, { outputSize: 2 })), [x])[0]!]
    for (const build of [
      (r: fj.Tensor) => fj.roiAlign(x, r, { outputSize: 2 }),
      (r: fj.Tensor) => fj.roiPool(x, r, { outputSize: 2 }),
      dx,
    ]) {
      await expect(read(build, [2, 0, 0, 1, 1])).rejects.toThrow(fault('rois[1] names image 2, expected 0..1'))
      await expect(read(build, [-1, 0, 0, 1, 1])).rejects.toThrow(fault('rois[1] names image -1, expected 0..1'))
      await expect(read(build, [0.5, 0, 0, 1, 1])).rejects.toThrow(fault('rois[1] names image 0.5'))
      await expect(read(build, [0, 0, 0, 1e30, 1])).rejects.toThrow(fault('rois[1] lies more than 65536 pixels away'))
      await expect(read(build, [0, 0, Number.NaN, 1, 1])).rejects.toThrow(fault('rois[1] lies more than'))
    }
  })
})

it('names what is wrong', () => {
  const fails = (make: () => unknown, code: string, text: string) =>
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }))
  const boxes = fj.zeros([3, 4])
  const x = fj.zeros([1, 2, 4, 4])
  fails(() => fj.boxIou(boxes, fj.zeros([4])), 'ERR_SHAPE', 'boxIou: b must be (N, 4), got shape (4,)')
  fails(() => fj.boxIou(fj.zeros([1, 4], { dtype: 'int32' }), boxes), 'ERR_DTYPE', 'a must be float32, got int32')
  fails(() => fj.nmsPadded(boxes, fj.zeros([2])), 'ERR_SHAPE', 'scores must be float32 (3,), got float32 (2,)')
  fails(() => fj.nmsPadded(boxes, fj.zeros([3]), { iouThreshold: 2 }), 'ERR_ARGUMENT', 'iouThreshold is 2')
  fails(() => fj.roiAlign(x, boxes, { outputSize: 2 }), 'ERR_SHAPE', 'rois must be (K, 5)')
  fails(() => fj.roiPool(x, fj.zeros([1, 5]), { outputSize: 0 }), 'ERR_ARGUMENT', 'outputSize')
  fails(() => fj.roiPool(x, fj.zeros([1, 5]), { outputSize: 1, spatialScale: 0 }), 'ERR_ARGUMENT', 'spatialScale')
  fails(() => fj.roiAlign(x, fj.zeros([1, 5]), { outputSize: 1, samplingRatio: 0.5 }), 'ERR_ARGUMENT', 'samplingRatio')
  fails(() => fj.roiAlign(fj.zeros([1, 2, 0, 4]), fj.zeros([1, 5]), { outputSize: 1 }), 'ERR_SHAPE', '(1, 2, 0, 4)')
})
