/** The emulator finds what it is there to find: 24 planted bugs (native/cuda/emulation/planted), each by name. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

interface Finding {
  bug: string
  value: boolean
  report: boolean
  replay: boolean
}

function findings(program: string): Finding[] {
  const path = fileURLToPath(new URL(`../../build/Release/${program}`, import.meta.url))
  const lines = execFileSync(path, { encoding: 'utf8', timeout: 30_000 }).trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Finding)
}

const isFound = ({ value, report, replay }: Finding) => value || report || replay
const named = (list: Finding[], keep: (finding: Finding) => boolean) => list.filter(keep).map(({ bug }) => bug)

it('the checked build finds all 24, all but three by what it says, and nothing in the kernel without a bug', () => {
  const list = findings('forja_planted_checked')
  expect(list).toHaveLength(25)
  expect(named(list, (finding) => !isFound(finding))).toEqual(['None'])
  // What is not waited for has not come: the poison that lies there shows in the result.
  expect(named(list, ({ report }) => !report)).toEqual([
    'None',
    'NoWaitForCopy',
    'WaitsForTooFewCopies',
    'NoWaitForProducts',
  ])
})

it('the plain build finds all but the misaligned load, which x86 does not mind', () => {
  const list = findings('forja_planted')
  expect(list).toHaveLength(25)
  expect(named(list, (finding) => !isFound(finding))).toEqual(['None', 'MisalignedVector'])
})
