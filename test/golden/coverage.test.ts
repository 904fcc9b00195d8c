/** No golden case may be forgotten: each is the name of a test on every device, or of one test where it has none. */
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { allGoldenCases } from '../helpers/compare.js'

const root = resolve(import.meta.dirname, '../..')

/** The full names of all tests that golden cases may be in: `golden on cpu > conv2d_0`. */
function collectedNames(): string[] {
  const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
  const out = execFileSync(process.execPath, [vitest, 'list', '--project', 'cpu', '--no-isolate', 'test/ops', 'test/optim', '--json'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  return (JSON.parse(out.slice(out.indexOf('['))) as { name: string }[]).map(({ name }) => name.replaceAll("'", ''))
}

it('has a test for each of the 180 cases', { timeout: 240_000 }, () => {
  const cases = allGoldenCases()
  expect(cases.length).toBe(180)
  const names = new Set(collectedNames())
  const isSchedule = (op: string) => op.startsWith('schedule.')
  const exists = (op: string) => op.startsWith('optim.') || isSchedule(op) || op in fj
  const absent = cases.filter(({ op }) => !exists(op)).map(({ name }) => name)
  if (absent.length > 0) console.log(`no such function yet: ${absent.join(', ')}`)
  const wanted = cases
    .filter(({ op }) => exists(op))
    .flatMap(({ name, op }) =>
      isSchedule(op) ? [name] : ['cpu', 'reference'].map((device) => `golden on ${device} > ${name}`),
    )
  expect(wanted.filter((name) => !names.has(name))).toEqual([])
})
