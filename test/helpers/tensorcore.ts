/** Products on tensor cores, exact where operands are: what precision.test.ts and warps.test.ts run. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose, randomTensor } from './compare.js'
import { MULTIPROCESSORS, TEST_DEVICE } from './device.js'

/** -1, 0 or 1: sums of up to 256 products are exact in bfloat16. */
export const signs = (shape: number[], seed: number) =>
  fj.cast(fj.sub(randomTensor(shape, seed, 'int32', 3), 1), 'float32')

export type Fn = (...inputs: fj.Tensor[]) => fj.Tensor[]

/** `fn` and what explain() says, in a precision of the device under test and, on the CPU, in float32. */
export async function both(
  fn: Fn,
  inputs: fj.Tensor[],
  precision: fj.CompileFunctionOptions['precision'] = 'bfloat16',
  algorithms: fj.CompileFunctionOptions['algorithms'] = {},
) {
  const run = async (options: fj.CompileFunctionOptions) => {
    const compiled = fj.compile(fn, options)
    let outputs: fj.Tensor[] = []
    for (let i = 0; i < 3; i++) outputs = await compiled(...inputs)
    const explained = compiled.explain()
    const data = await Promise.all(outputs.map((t) => t.data()))
    compiled.dispose()
    return { data, explained, dtypes: outputs.map((t) => t.dtype) }
  }
  return { narrow: await run({ device: TEST_DEVICE, precision, algorithms }), wide: await run({ device: 'cpu' }) }
}

/** Outputs without a difference; the first one is named. */
export function expectSame(actual: ArrayLike<number>[], expected: ArrayLike<number>[]): void {
  expect(actual.length).toBe(expected.length)
  for (const [i, output] of actual.entries()) expectClose(output, expected[i]!, `output ${i}`, { rtol: 0, atol: 0 })
}

/**
 * So many rows that a product takes the tile here that it takes on a device of four multiprocessors with `rows`: as many
 * tiles for each.
 */
export const rowsForTiles = (rows: number) => Math.ceil((rows * MULTIPROCESSORS) / 4)

type Tiles = readonly (readonly [readonly [number, number, number], string])[]

/**
 * (m, k, n) for every tile of gemm_core.cuh, m as rowsForTiles takes it: sizes that no tile divides, K of less than a
 * slice, of two, of one and a piece, and in parts.
 */
export const WARP_TILES: Tiles = [
  [[136, 72, 264], 'tiles of 256 x 128'],
  [[400, 16, 128], '128 x 128'],
  [[512, 40, 64], '128 x 64'],
  [[136, 264, 72], '128 x 64'],
  [[64, 128, 16], '64 x 64'],
  [[8, 1032, 8], '64 x 64, parts of K'],
]
/** The same of gemm_warpgroup.cuh; K also of more slices than a ring has. */
export const WARPGROUP_TILES: Tiles = [
  [[136, 72, 264], 'tiles of 128 x 256'],
  [[256, 456, 512], '128 x 256'],
  [[400, 16, 128], '128 x 128'],
  [[264, 328, 520], '128 x 128'],
  [[512, 40, 64], '128 x 64'],
  [[136, 264, 72], '128 x 64'],
  [[64, 128, 16], '128 x 64'],
  [[8, 1032, 8], '128 x 64, parts of K'],
]

/** Rows of whole pieces of 16 bytes in all tiles, and of less. */
export function describeProducts(precision: 'bfloat16' | 'tf32', tiles: Tiles): void {
  describe(`${precision} products without a number of their own`, () => {
    it.each(tiles)('(m, k, n) = %j in %s', async ([rows, k, n], _tile) => {
      const m = rowsForTiles(rows)
      for (const transposeA of [false, true]) {
        for (const transposeB of [false, true]) {
          const operands = [signs(transposeA ? [k, m] : [m, k], 1), signs(transposeB ? [n, k] : [k, n], 2)]
          const product: Fn = (x, y) => [fj.matmul(x!, y!, { transposeA, transposeB })]
          const { narrow, wide } = await both(product, operands, precision)
          expect(narrow.explained).toContain(`matmul tensorcore ${precision}`)
          expectSame(narrow.data, wide.data)
        }
      }
    })

    it('write rows of an odd number of columns, batches, bias and ReLU', async () => {
      const product: Fn = (x, y, b) => [fj.relu(fj.add(fj.matmul(x!, y!, { transposeB: true }), b!))]
      for (const batch of [[], [3]]) {
        const inputs = [signs([...batch, 33, 64], 1), signs([...batch, 17, 64], 2), signs([17], 3)]
        const { narrow, wide } = await both(product, inputs, precision)
        expectSame(narrow.data, wide.data)
      }
    })

    it.each([
      [[2, 8, 12, 11], [128, 8, 3, 3], { padding: 1 }],
      [[2, 8, 12, 11], [264, 8, 3, 3], { padding: 1 }],
      [[2, 16, 9, 7], [32, 16, 3, 2], { stride: [2, 1] as [number, number], padding: [2, 0] as [number, number] }],
      [[1, 32, 9, 9], [48, 16, 3, 3], { groups: 2, dilation: 2 }],
      [[1, 8, 40, 13], [64, 8, 1, 1], {}],
      [[3, 136, 3, 3], [8, 136, 3, 3], { padding: 1 }],
    ])('gather x %j for weight %j, %j: forward, with bias and ReLU, and gradients', async (xShape, wShape, options) => {
      const convolve: Fn = (x, w, b) => {
        const y = fj.conv2d(x!, w!, null, options)
        const gradients = fj.grad([y], [x!, w!], { gradOutputs: [signs(y.shape as number[], 5)] })
        return [fj.relu(fj.conv2d(x!, w!, b!, options)), ...gradients]
      }
      const inputs = [signs(xShape, 1), signs(wShape, 2), signs([wShape[0]!], 3)]
      const { narrow, wide } = await both(convolve, inputs, precision)
      for (const op of ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'])
        expect(narrow.explained).toContain(`${op} tensorcore ${precision}`)
      expectSame(narrow.data, wide.data)
    })

    it('keep infinities and NaN', async () => {
      const a = fj.tensor([[Number.POSITIVE_INFINITY, 0, 0, 0, 0, 0, 0, 0], [Number.NaN, 0, 0, 0, 0, 0, 0, 0]]) // biome-ignore format: a table
      const { narrow } = await both((x, y) => [fj.matmul(x!, y!)], [a, fj.ones([8, 8])], precision)
      expect([...narrow.data[0]!]).toEqual([...new Array(8).fill(Infinity), ...new Array(8).fill(NaN)])
    })
  })
}
