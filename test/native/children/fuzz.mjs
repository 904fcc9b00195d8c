// Changes a byte, or some words, of real programs at random: each must be refused with a ForjaError, or run on random bytes
// without a crash. argv: seed, number of mutations, file that always says which mutation is being tried.
import { openSync, writeSync } from 'node:fs'
import { sizeOf } from '../../../dist/dtype.js'
import { ForjaError } from '../../../dist/errors.js'
import { loadAddon } from '../../../dist/runtime/addon.js'
import { allPrograms } from './programs.mjs'

const [seed, count, journalPath] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]]
const RUN_MS = 2000
const MAX_INPUT_BYTES = 2 ** 24

const EDGES = [0, 1, 2, 7, 8, 0x7fffffff, 0x80000000, 0xffffffff]

let state = seed
/** mulberry32: an integer below n. */
function below(n) {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % n
}
const randomBytes = (n) => Uint8Array.from({ length: n }, () => below(256))

const addon = loadAddon()
const device = new addon.Device('cpu', 0)
const journal = openSync(journalPath, 'w')
const { programs, absent } = await allPrograms()
for (const program of programs) {
  program.native = program.buffers.map(({ type }) =>
    device.createBuffer(type.shape.reduce((a, b) => a * b, 1) * sizeOf(type.dtype)),
  )
}
const tally = { refused: 0, unbuildable: 0, ran: 0, failed: 0, cancelled: 0, notRun: 0 }

function changeByte(bytes) {
  const at = below(bytes.length)
  bytes[at] = (bytes[at] + 1 + below(255)) & 255
  return `byte ${at} = ${bytes[at]}`
}

/** Up to three, each to a number at an edge, or to one that the program has elsewhere, or next to that. */
function changeWords(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const place = () => 4 * below(bytes.length >> 2)
  const changes = Array.from({ length: 1 + below(3) }, () => {
    const at = place()
    const value = below(2) === 0 ? EDGES[below(EDGES.length)] : (view.getUint32(place(), true) + below(3) - 1) >>> 0
    view.setUint32(at, value, true)
    return `word at ${at} = ${value}`
  })
  return changes.join(', ')
}

function expectForjaError(error) {
  if (!(error instanceof ForjaError)) throw error
}

/** Sizes of the inputs as the (checked) program states them: the section before the buffers' sizes. */
function inputSizes(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const word = (i) => view.getUint32(i * 4, true)
  const [values, instrs, operands, outputs, inputs] = [3, 4, 5, 6, 7].map(word)
  const pad = (n) => Math.ceil(n / 8) * 8
  const at = 56 + values * 56 + instrs * 24
  const begin = pad(pad(at) + operands * 4)
  const first = pad(begin + outputs * 4)
  return Array.from({ length: inputs }, (_, i) => Number(view.getBigUint64(first + i * 8, true)))
}

async function attempt(program, bytes) {
  try {
    addon.checkProgram(bytes)
  } catch (error) {
    expectForjaError(error)
    tally.refused++
    return
  }
  let native
  try {
    native = await device.createProgram(bytes, program.native)
  } catch (error) {
    expectForjaError(error)
    tally.unbuildable++
    return
  }
  const sizes = inputSizes(bytes)
  if (sizes.reduce((a, b) => a + b, 0) > MAX_INPUT_BYTES) {
    tally.notRun++
  } else {
    const token = new addon.CancelToken()
    const timer = setTimeout(() => token.cancel(), RUN_MS)
    try {
      await native.run(sizes.map(randomBytes), token)
      tally.ran++
    } catch (error) {
      if (error.code === 'ABORT_ERR') tally.cancelled++
      else {
        expectForjaError(error)
        tally.failed++
      }
    }
    clearTimeout(timer)
  }
  native.dispose()
}

// Unchanged programs run, whatever their inputs hold.
for (const program of programs) await attempt(program, program.bytes)
if (tally.ran + tally.failed !== programs.length) throw new Error(`untouched programs: ${JSON.stringify(tally)}`)

// Cut off anywhere, they are refused.
for (const program of programs) {
  for (let length = 0; length < program.bytes.length; length += 1 + below(16)) {
    try {
      addon.checkProgram(program.bytes.slice(0, length))
    } catch (error) {
      expectForjaError(error)
      continue
    }
    throw new Error(`${program.name} was accepted with ${length} of ${program.bytes.length} bytes`)
  }
}

for (let i = 0; i < count; i++) {
  const program = programs[i % programs.length]
  const bytes = program.bytes.slice()
  const change = below(2) === 0 ? changeByte(bytes) : changeWords(bytes)
  writeSync(journal, `${program.name}: mutation ${i}, ${change}`.padEnd(160), 0)
  await attempt(program, bytes)
}
console.log(
  JSON.stringify({ ...tally, ops: [...new Set(programs.flatMap((p) => p.ops))], absent: [...new Set(absent)] }),
)
