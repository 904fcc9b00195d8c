/** Programs with a byte or some words changed: refused or harmless. FORJA_FUZZ_SEED and FORJA_FUZZ_COUNT choose others. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import '../../lib/index.js'
import { allOps } from '../../lib/ops/registry.js'
import { runChild } from '../helpers/child.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-fuzz-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('survives 10,000 mutations of real programs', { timeout: 300_000 }, async () => {
  const seed = process.env.FORJA_FUZZ_SEED ?? `${Date.now() % 2 ** 31}`
  const count = process.env.FORJA_FUZZ_COUNT ?? '10000'
  const journal = join(folder, 'journal')
  const { code, signal, stdout, stderr } = await runChild('fuzz', { args: [seed, count, journal], timeoutMs: 290_000 })
  const where = `FORJA_FUZZ_SEED=${seed}; last: ${readFileSync(journal, 'utf8').trim()}\n${stderr}`
  expect({ code, signal }, where).toEqual({ code: 0, signal: null })
  const tally = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, number> & { ops: string[] }
  expect(tally.refused, where).toBeGreaterThan(Number(count) / 10)
  expect(tally.ran, where).toBeGreaterThan(Number(count) / 10)
  const covered = new Set(tally.ops)
  const left = allOps().filter(
    (op) => !op.traits.leaf && !op.traits.view && !op.traits.elementwise && !covered.has(op.name),
  )
  console.log(`fuzz: seed ${seed}, ${JSON.stringify({ ...tally, ops: covered.size })}`)
  if (left.length > 0) console.log(`fuzz: no program holds ${left.map((op) => op.name).join(', ')}`)
})
