/** Products on tensor cores: 'tf32' and 'bfloat16' of compile() and fit(). */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose, randomTensor } from '../helpers/compare.js'
import { TEST_DEVICE } from '../helpers/device.js'
import {
  both,
  describeProducts,
  expectSame,
  type Fn,
  signs,
  WARP_TILES,
  WARPGROUP_TILES,
} from '../helpers/tensorcore.js'
import { plainNetwork, waves } from '../helpers/training.js'

const device = TEST_DEVICE

describeProducts('tf32', WARP_TILES)
describeProducts('bfloat16', WARPGROUP_TILES)

describe('bfloat16', () => {
  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('matmul is exact where numbers are, transposed %s and %s', async (transposeA, transposeB) => {
    for (const [m, k, n] of [
      [1, 1, 1],
      [33, 65, 17],
      [64, 16, 128],
      [70, 200, 8],
      [132, 72, 260],
    ] as const) {
      // biome-ignore format: a table
      const a = signs(transposeA ? [k, m] : [m, k], 1)
      const b = signs(transposeB ? [n, k] : [k, n], 2)
      const product: Fn = (x, y) => [fj.matmul(x!, y!, { transposeA, transposeB })]
      const { narrow, wide } = await both(product, [a, b])
      expectSame(narrow.data, wide.data)
      expect(narrow.dtypes).toEqual(['float32'])
      expect(narrow.explained).toContain('matmul tensorcore bfloat16')
    }
  })

  it('batches, bias and ReLU are part of the product', async () => {
    const inputs = [signs([3, 5, 7], 1), signs([7, 9], 2), signs([9], 3)]
    const { narrow, wide } = await both((x, w, b) => [fj.relu(fj.add(fj.matmul(x!, w!), b!))], inputs)
    expectSame(narrow.data, wide.data)
  })

  it.each([
    [[2, 3, 7, 6], [16, 3, 3, 3], { padding: 1 }],
    [[1, 8, 9, 5], [12, 8, 2, 3], { stride: 2, dilation: [1, 2] as [number, number] }],
    [[2, 16, 4, 4], [32, 8, 1, 1], { groups: 2 }],
    [[2, 72, 17, 17], [72, 72, 1, 1], {}],
    [[1, 72, 9, 9], [72, 72, 3, 3], {}],
  ])('convolution of x %j with weight %j, forward and both gradients', async (xShape, wShape, options) => {
    const convolve: Fn = (x, w) => {
      const y = fj.conv2d(x!, w!, null, options)
      return [y, ...fj.grad([y], [x!, w!], { gradOutputs: [signs(y.shape as number[], 5)] })]
    }
    const { narrow, wide } = await both(convolve, [signs(xShape, 1), signs(wShape, 2)])
    for (const op of ['conv2d', 'conv2dGradInput', 'conv2dGradWeight'])
      expect(narrow.explained).toContain(`${op} tensorcore bfloat16`)
    expectSame(narrow.data, wide.data)
  })

  it('rounds operands and results to 8 bits, sums in float32', async () => {
    // 256 + 1 has 9 bits; 1 + 2^-9 is 1 as an operand.
    const { narrow } = await both(
      (x, y) => [fj.matmul(x!, y!)],
      [
        fj.tensor([[256, 1, -256], [1 + 2 ** -9, 0, 0]]), // biome-ignore format: a table
        fj.tensor([[1], [1], [1]]),
      ],
    )
    expect([...narrow.data[0]!]).toEqual([1, 1])
    const { narrow: rounded } = await both(
      (x, y) => [fj.matmul(x!, y!)],
      [fj.tensor([[256, 1]]), fj.tensor([[1], [1]])],
    )
    expect([...rounded.data[0]!]).toEqual([256])
  })

  it('stores as bfloat16 what only products read, and casts a weight once', async () => {
    const w = fj.variable(randomTensor([24, 24], 1))
    const step = fj.compile(
      (x: fj.Tensor) => {
        const loss = fj.mean(fj.square(fj.matmul(fj.tanh(fj.matmul(x, w)), w)))
        const [dw] = fj.grad(loss, [w])
        w.assign(fj.sub(w, fj.mul(dw!, 0.1)))
        return loss
      },
      { device, precision: 'bfloat16' },
    )
    const before = await w.data()
    await step(randomTensor([40, 24], 2))
    const lines = step.explain().split('\n')
    const results = lines
      .filter((line) => /^\d+ +fused/.test(line))
      .flatMap((line) => line.split(/ {2,}/)[2]!.split(' '))
    expect(results.filter((type) => type === 'bfloat16[24,24]')).toHaveLength(1) // w
    expect(results).toContain('bfloat16[40,24]') // x, tanh(x w)
    expect(w.dtype).toBe('float32')
    expect([...(await w.data())]).not.toEqual([...before])
  })

  describe('between products', () => {
    // 12 channels are no multiple of a load of bfloat16, 16 are.
    it.each([12, 16])('batch norm, ReLU, pooling and sums of %i channels are stored as bfloat16', async (channels) => {
      const shapes = [[2, 8, 6, 6], [channels, 8, 1, 1], [channels, channels, 3, 3], [channels], [channels]]
      const block: Fn = (x, w, v, gamma, beta) => {
        const norm = (t: fj.Tensor) => fj.batchNorm(t, { gamma: gamma!, beta: beta!, training: true })
        const first = fj.relu(norm(fj.conv2d(x!, w!)))
        const second = fj.relu(fj.add(norm(fj.conv2d(first, v!, null, { padding: 1 })), first))
        const y = fj.conv2d(fj.avgPool2d(fj.maxPool2d(second, { kernelSize: 2 }), { kernelSize: 3 }), w_(v!))
        return [y, ...fj.grad(fj.sum(fj.square(y)), [w!, v!, gamma!, beta!])]
      }
      const w_ = (v: fj.Tensor) => fj.slice(v, { ends: [channels, channels, 1, 1] })
      const { narrow, wide } = await both(
        block,
        shapes.map((shape, i) => randomTensor(shape, i + 1)),
      )
      const steps = narrow.explained.split('\n').filter((line) => /^\d+ /.test(line))
      const results = (op: string) =>
        steps.filter((line) => new RegExp(`^\\d+ +${op}( |$)`).test(line)).map((line) => line.split(/ {2,}/)[2]!)
      const stays = ['batchNorm', 'batchNormGrad', 'maxPool2d', 'maxPool2dGrad', 'avgPool2d', 'avgPool2dGrad']
      for (const op of stays) {
        expect(results(op).length, op).toBeGreaterThan(0)
        for (const type of results(op)) expect(type, op).toMatch(/^bfloat16\[/)
      }
      expect(narrow.explained, 'the sum is made apart').not.toMatch(/fused \{.*\badd\b.*\brelu\b/)
      // All but the result that is given back.
      const maps = results('fused').filter((type) => /^float32\[2,[2-9]/.test(type))
      expect(maps, 'maps kept in float32').toEqual([])
      for (const [i, data] of narrow.data.entries()) {
        const [error, size] = [data, wide.data[i]!].map((_, k) =>
          Math.hypot(...Array.from(data, (v, j) => (k === 0 ? v - wide.data[i]![j]! : wide.data[i]![j]!))),
        ) as [number, number]
        expect(error / size, `output ${i}: relative error of the whole`).toBeLessThan(0.03)
      }
    })

    it.each([12, 16])('a block that halves the image of %i channels is two batch norms', async (channels) => {
      const block: Fn = (x, w, v, u, gamma, beta) => {
        const norm = (t: fj.Tensor) => fj.batchNorm(t, { gamma: gamma!, beta: beta!, training: true })
        const first = fj.relu(norm(fj.conv2d(x!, w!, null, { stride: 2, padding: 1 })))
        const second = norm(fj.conv2d(first, v!, null, { padding: 1 }))
        const sum = fj.relu(fj.add(second, norm(fj.conv2d(x!, u!, null, { stride: 2 }))))
        return [sum, ...fj.grad(fj.sum(fj.square(fj.conv2d(sum, v!))), [x!, w!, v!, u!, gamma!, beta!])]
      }
      const filter = [channels, 8, 3, 3]
      const shapes = [[3, 8, 9, 7], filter, [channels, channels, 3, 3], [channels, 8, 1, 1], [channels], [channels]]
      const { narrow, wide } = await both(
        block,
        shapes.map((shape, i) => randomTensor(shape, i + 21)), // no sum is so near 0 that rounding passes ReLU's edge
      )
      const norms = narrow.explained.match(/^\d+ +batchNorm .*$/gm)!
      expect(norms).toHaveLength(3)
      for (const line of norms) expect(line).toContain(`bfloat16[3,5,4,${channels}]`)
      expect(narrow.explained, 'the sum is made apart').not.toMatch(/fused \{.*\badd\b.*\brelu\b/)
      for (const [i, data] of narrow.data.entries()) {
        const size = Math.hypot(...wide.data[i]!)
        const error = Math.hypot(...data.map((v, j) => v - wide.data[i]![j]!))
        expect(error / size, `output ${i}: relative error of the whole`).toBeLessThan(0.03)
      }
    })

    it('batch norm and residual are summed before they are rounded', async () => {
      // 257 has 9 bits: rounded first, 256 - 256.
      const layer: Fn = (x, w, gamma, beta, r) => [
        fj.add(fj.batchNorm(fj.matmul(x!, w!), { gamma: gamma!, beta: beta!, training: true }), r!),
      ]
      for (const columns of [8, 12]) {
        const { narrow } = await both(layer, [
          signs([5, 8], 1),
          signs([8, columns], 2),
          fj.zeros([columns]),
          fj.full([columns], 257),
          fj.full([5, columns], -256),
        ])
        expect(narrow.explained).toMatch(new RegExp(`batchNorm .*bfloat16\\[5,${columns}\\]`))
        expect([...narrow.data[0]!]).toEqual(new Array(5 * columns).fill(1))
      }
    })

    // Rows for every group of threads, in packs of eight elements and not.
    it.each([12, 48, 100, 104, 300, 304, 700, 704, 1500, 1504, 3000, 3004, 8200, 8204])(
      'layer norm of %i columns reads and writes bfloat16',
      async (columns) => {
        const layer: Fn = (x, w, gamma, beta) => {
          const y = fj.layerNorm(fj.matmul(x!, w!), { gamma: gamma!, beta: beta! })
          return [y, ...fj.grad(fj.sum(fj.matmul(fj.tanh(y), w!, { transposeB: true })), [w!, gamma!, beta!])]
        }
        const shapes = [[9, 8], [8, columns], [columns], [columns]] // biome-ignore format: a table
        const { narrow, wide } = await both(
          layer,
          shapes.map((shape, i) => randomTensor(shape, i + 1)),
        )
        expect(narrow.explained).toMatch(new RegExp(`layerNorm .*bfloat16\\[9,${columns}\\]`))
        expect(narrow.explained).toMatch(
          new RegExp(`layerNormGrad .*bfloat16\\[9,${columns}\\] float32\\[${columns}\\] float32\\[${columns}\\]`),
        )
        for (const [i, data] of narrow.data.entries()) {
          const size = Math.hypot(...wide.data[i]!)
          const error = Math.hypot(...data.map((v, j) => v - wide.data[i]![j]!))
          expect(error / size, `output ${i}: relative error of the whole`).toBeLessThan(0.03)
        }
      },
    )

    it('max pooling chooses the same pixels, ties and borders included', async () => {
      const w = fj.reshape(fj.eye(8), [8, 8, 1, 1])
      const pool: Fn = (x, dy) => {
        const y = fj.maxPool2d(fj.conv2d(x!, w), { kernelSize: 3, stride: 2, padding: 1 })
        return [y, ...fj.grad([y], [x!], { gradOutputs: [dy!] })]
      }
      const { narrow, wide } = await both(pool, [signs([2, 8, 7, 5], 1), signs([2, 8, 4, 3], 2)])
      expect(narrow.explained).toContain('bfloat16[2,4,3,8] uint8[2,4,3,8]')
      expectSame(narrow.data, wide.data)
    })
  })

  it('leaves convolutions of few channels to float32', async () => {
    const { narrow } = await both(
      (x, w) => [fj.conv2d(x!, w!, null, { groups: 4 })],
      [signs([1, 4, 5, 5], 1), signs([4, 1, 3, 3], 2)],
    )
    expect(narrow.explained).not.toContain('bfloat16')
  })
})

describe.each(['tf32', 'bfloat16'] as const)('%s', (precision) => {
  it('a network learns as in float32', async () => {
    const losses = async (options: { device: string; precision?: typeof precision }) => {
      const model = plainNetwork()
      const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
      const history = await fj.fit(model, waves, {
        optimizer,
        epochs: 8,
        batchSize: 8,
        seed: 1,
        verbose: 0,
        ...options,
      })
      expect(model.parameters().every((p) => p.dtype === 'float32')).toBe(true)
      return history.loss
    }
    const [narrow, wide] = [await losses({ device, precision }), await losses({ device: 'cpu' })]
    expect(wide.at(-1)!).toBeLessThan(0.7 * wide[0]!)
    expect(narrow).not.toEqual(wide)
    expectClose(narrow, wide, 'losses', { rtol: precision === 'tf32' ? 5e-3 : 0.05 })
  })

  it('is refused by the CPU, which says why', () => {
    expect(() => fj.compile((x: fj.Tensor) => x, { device: 'cpu', precision })).toThrow(
      `compile: precision '${precision}' needs tensor cores, and device 'cpu' has none; it computes in 'float32'`,
    )
  })
})

it('tf32 chooses tensor cores unless another variant is asked for', async () => {
  const inputs = [randomTensor([33, 40], 1), randomTensor([40, 17], 2)] as [fj.Tensor, fj.Tensor]
  const run = async (algorithms?: Record<string, string>) => {
    const f = fj.compile((a: fj.Tensor, b: fj.Tensor) => fj.matmul(a, b), { device, precision: 'tf32', algorithms })
    return { data: await (await f(...inputs)).data(), explained: f.explain() }
  }
  const [cores, tiled] = [await run(), await run({ matmul: 'tiled' })]
  expect(cores.explained).toContain('matmul tensorcore tf32')
  expect(tiled.explained).toContain('matmul tiled')
  expect([...cores.data]).not.toEqual([...tiled.data])
  expectClose(cores.data, tiled.data, 'product', { rtol: 5e-3, atol: 0.02 })
})

it('a precision that does not exist is refused by name', () => {
  expect(() => fj.compile((x: fj.Tensor) => x, { device, precision: 'float8' as never })).toThrow(
    "compile: precision 'float8'; expected 'float32', 'tf32' or 'bfloat16'",
  )
})
