/** The bytes of a program: flags of instructions. */
import { expect, it } from 'vitest'
import { Graph } from '../../lib/graph/graph.js'
import * as fj from '../../lib/index.js'
import { makeLeaf } from '../../lib/ops/creation.js'
import { lower } from '../../lib/passes/lower.js'
import { loadAddon } from '../../lib/runtime/addon.js'
import { Tensor } from '../../lib/tensor.js'

/** Of the header, a value and an instruction (native/abi/program.h), and where an instruction's flags are. */
const [HEADER, VALUE, INSTRUCTION, FLAGS] = [56, 56, 24, 20]

async function product(precision: 'float32' | 'tf32') {
  const x = new Tensor(makeLeaf({ kind: 'input', name: 'x' }, { shape: [3, 4], dtype: 'float32' }))
  const y = fj.matmul(x, x, { transposeB: true })
  const { program } = await lower(new Graph([y.value], []), { precision })
  const { bytes } = program
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [values, instructions] = [view.getUint32(12, true), view.getUint32(16, true)]
  expect(instructions).toBe(1)
  return { bytes, view, flags: HEADER + VALUE * values + FLAGS }
}

it('an instruction says whether its operands may be rounded', async () => {
  for (const [precision, flag] of [
    ['float32', 0],
    ['tf32', 1],
  ] as const) {
    const { bytes, view, flags } = await product(precision)
    expect(view.getUint32(flags, true)).toBe(flag)
    expect(view.byteLength).toBeGreaterThan(flags + INSTRUCTION - FLAGS)
    expect(() => loadAddon().checkProgram(bytes)).not.toThrow()
  }
})

it('flags that nobody knows are refused', async () => {
  const { bytes, view, flags } = await product('tf32')
  view.setUint32(flags, 3, true)
  expect(() => loadAddon().checkProgram(bytes)).toThrow('an instruction has unknown flags')
})
