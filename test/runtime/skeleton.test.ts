import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

describe.each(['cpu', 'reference'])('device %s', (device) => {
  it('computes a compiled function with gradients and assignments', async () => {
    const w = fj.variable(
      fj.tensor([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      { name: 'w', storageAxes: [1, 0] },
    )
    const step = fj.compile(
      (x: fj.Tensor, y: fj.Tensor) => {
        const error = fj.sub(fj.relu(fj.matmul(x, w)), y)
        const loss = fj.sum(fj.mul(error, error))
        const [dw] = fj.grad(loss, [w])
        w.assign(fj.sub(w, fj.mul(dw!, 0.1)))
        return { loss, dw: dw! }
      },
      { device },
    )
    const x = fj.tensor([
      [1, 0, -1],
      [0.5, 1, 2],
    ])
    const y = fj.tensor([
      [1, 1],
      [2, 3],
    ])
    const { loss, dw } = await step(x, y)
    // relu(x w) = [[0, 0], [13.5, 17]]; error [[-1, -1], [11.5, 14]]
    expect(await loss.item()).toBeCloseTo(1 + 1 + 11.5 ** 2 + 14 ** 2, 3)
    expect(await dw.array()).toEqual([
      [11.5, 14],
      [23, 28],
      [46, 56],
    ])
    const after = (await w.array()) as number[][]
    expect(after[0]![0]).toBeCloseTo(1 - 1.15, 5)
    expect(after[2]![1]).toBeCloseTo(6 - 5.6, 5)
    expect(step.explain()).toContain('matmul')
    step.dispose()
  })

  it('reads lazy tensors', async () => {
    fj.setDefaultDevice(device)
    const a = fj.tensor([
      [1, 2],
      [3, 4],
    ])
    const b = fj.add(fj.mul(a, 2), fj.tensor([10, 20]))
    expect(await b.array()).toEqual([
      [12, 24],
      [16, 28],
    ])
    expect(await fj.sum(b, { axes: 0 }).array()).toEqual([28, 52])
    fj.setDefaultDevice('cpu')
  })
})

it('times the steps of a run, whose outputs nobody gets, and has those of the next', async () => {
  const double = fj.compile((x: fj.Tensor) => fj.mul(x, 2), { device: 'cpu' })
  const x = (value: number) => fj.full([3], value)
  expect(await (await double(x(1))).array()).toEqual([2, 2, 2])
  const [row] = await double.profile(x(5))
  expect(row).toMatchObject({ operation: 'fused', milliseconds: expect.any(Number) })
  expect(await (await double(x(3))).array()).toEqual([6, 6, 6])
  double.dispose()
  await expect(double.profile(x(1))).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
})

it('names the operands of a shape error', () => {
  expect(() => fj.matmul(fj.zeros([32, 128]), fj.zeros([64, 10]))).toThrow(
    /matmul: inner dimensions differ: 128 ≠ 64\n {2}a {2}\(32, 128\)/,
  )
})

it('rejects a call whose function assigns what does not fit', async () => {
  const w = fj.variable(fj.ones([2]), { name: 'w' })
  const gone = fj.variable(fj.ones([2]))
  gone.dispose()
  const call = (variable: fj.Variable, value: fj.Tensor) =>
    fj.compile((x: fj.Tensor) => {
      void variable.assign(value)
      return x
    })(fj.ones([1]))
  const refused: [fj.Variable, fj.Tensor, string][] = [
    [w, fj.ones([3]), 'ERR_SHAPE'],
    [w, fj.ones([2], { dtype: 'int32' }), 'ERR_DTYPE'],
    [w, [1, 2] as unknown as fj.Tensor, 'ERR_ARGUMENT'],
    [gone, fj.ones([2]), 'ERR_DISPOSED'],
  ]
  for (const [variable, value, code] of refused) {
    await expect(call(variable, value), code).rejects.toMatchObject({ code })
    await expect(variable.assign(value), `${code} outside`).rejects.toMatchObject({ code })
  }
  expect(await w.array()).toEqual([1, 1])
})
