/** float32 products and convolutions in every tile that gemm.cuh weighs, whatever the number of multiprocessors. */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { both, expectSame, type Fn, rowsForTiles, signs } from '../helpers/tensorcore.js'

// Rows as rowsForTiles takes them, and columns; as in test/checked/families.test.ts.
const TILES = [
  ['large', 512, 128],
  ['tall', 512, 136],
  ['medium', 512, 64],
  ['small', 776, 8],
  ['grouped', 264, 132],
] as const

describe.each([
  ['quads', 20, 0],
  ['single elements', 19, 1],
])('float32 products that read %s', (_, k, odd) => {
  it.each(TILES)('in %s tiles', async (_tile, rows, columns) => {
    const [m, n] = [rowsForTiles(rows) - odd, columns - odd]
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const operands = [signs(transposeA ? [k, m] : [m, k], 1), signs(transposeB ? [n, k] : [k, n], 2)]
        const product: Fn = (x, y) => [fj.matmul(x!, y!, { transposeA, transposeB })]
        const { narrow, wide } = await both(product, operands, 'float32')
        expect(narrow.explained).toContain('matmul tiled')
        expectSame(narrow.data, wide.data)
      }
    }
  })
})

// Input channels; what they and the filters are read by.
describe.each([
  ['quads', 4, 0],
  ['single elements and quads', 5, 0],
  ['single elements', 5, 1],
])('float32 convolutions that read %s', (_, c, odd) => {
  it.each(TILES)('in %s tiles: forward and both gradients', async (_tile, rows, columns) => {
    const [n, k] = [Math.ceil(rowsForTiles(rows) / 64), columns - odd]
    for (const stride of [1, 2]) {
      const convolve: Fn = (x, w) => {
        const y = fj.conv2d(x!, w!, null, { padding: 1, stride })
        return [y, ...fj.grad([y], [x!, w!], { gradOutputs: [signs(y.shape as number[], 5)] })]
      }
      const algorithms = { conv2d: 'implicit', conv2dGradInput: 'implicit', conv2dGradWeight: 'implicit' }
      const { narrow, wide } = await both(
        convolve,
        [signs([n, c, 8, 8], 1), signs([k, c, 3, 3], 2)],
        'float32',
        algorithms,
      )
      for (const name of Object.keys(algorithms)) expect(narrow.explained).toContain(`${name} implicit`)
      expectSame(narrow.data, wide.data)
    }
  })
})
