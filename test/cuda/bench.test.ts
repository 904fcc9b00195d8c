/** The bench's ladder on the device under test: each variant is held to what its operands are rounded to. */
import { expect, it } from 'vitest'
import { runBench } from '../../lib/bench/run.js'
import { RUNS_PTX, TEST_DEVICE } from '../helpers/device.js'

const size = TEST_DEVICE === 'cuda-emulated' ? 128 : 1024
const name = `${size}x${size}x${size}`

// A GPU's cases begin with 1024 rows.
const reason = RUNS_PTX ? 'products in time are left out: it would be the time of the CPU that runs PTX' : undefined
if (reason !== undefined) console.log(reason)

it.runIf(reason === undefined).each([
  ['float32', ['naive', 'coalesced', 'shared', 'tiled', 'tensorcore']],
  ['bfloat16', ['tensorcore']],
] as const)('products in %s by %j', async (precision, variants) => {
  const options = { case: name, device: TEST_DEVICE, precision, ladder: true, peers: false, seconds: 0.01, threads: 1 }
  const said: string[] = []
  const listener = { row: () => {}, error: () => {}, say: (text: string) => said.push(text) }
  const { rows, errors } = await runBench('matmul', options, listener)
  expect(errors).toEqual([])
  expect(rows.map((row) => row.variant)).toEqual(expect.arrayContaining([...variants]))
  for (const row of rows) {
    expect(row).toMatchObject({ case: name, dtype: precision, checked: [{ against: 'reference' }] })
    expect(row.gbytes).toBeCloseTo(((precision === 'bfloat16' ? 2 : 4) * 3 * size ** 2) / 1e6 / row.p50Ms, 6)
  }
  expect(said.join('\n')).toContain(`${name}: no simd (`)
})
