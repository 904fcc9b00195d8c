/** The runner of PTX does what the specification says, and names what is wrong (native/cuda/ptx/planted). */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

interface Outcome {
  kind: 'fault' | 'instruction' | 'program'
  name: string
  right: boolean
  said: string
}

function outcomes(): Outcome[] {
  const path = fileURLToPath(new URL('../../build/Release/forja_ptx_planted', import.meta.url))
  const lines = execFileSync(path, { encoding: 'utf8', timeout: 30_000 }).trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Outcome)
}

const all = outcomes()

it.each([
  ['fault', 'every planted fault is named', 63],
  ['instruction', 'instructions on constants give the bits that are specified', 192],
  ['program', 'programs are right in three orders of their warps and blocks', 3 * 39],
] as const)('%s: %s', (kind, _what, count) => {
  const found = all.filter((outcome) => outcome.kind === kind)
  expect(found.filter(({ right }) => !right)).toEqual([])
  expect(found).toHaveLength(count)
})
