import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const folders = readdirSync(join(root, 'examples')).filter((name) => /^\d\d-/.test(name))
const node = (args: string[], env: object = {}) =>
  promisify(execFile)(process.execPath, args, { cwd: root, env: { ...process.env, ...env } })

it.each(folders)('%s runs in quick mode', async (folder) => {
  // No data set may be needed: an empty folder, and no network.
  const empty = await mkdtemp(join(tmpdir(), 'forja-example-'))
  try {
    const { stdout } = await node(['--import', 'tsx', 'examples/run.ts', folder.slice(3), '--quick'], {
      FORJA_DATA_DIR: empty,
      FORJA_OFFLINE: '1',
    })
    expect(stdout).toMatch(/\n.+ \(\d+\.\d s, quick mode\)\n$/)
  } finally {
    await rm(empty, { recursive: true })
  }
})

it.each(folders)('%s is short, and its README says how to run it', (folder) => {
  const source = readFileSync(join(root, 'examples', folder, 'index.ts'), 'utf8')
  expect(source.split('\n').length - 1).toBeLessThanOrEqual(120)
  const readme = readFileSync(join(root, 'examples', folder, 'README.md'), 'utf8')
  expect(readme).toMatch(/^# \S/)
  expect(readme).toContain(`npm run example -- ${folder.slice(3)}`)
})

it('says what data an example lacks, where it goes, and how to do without', async () => {
  const empty = await mkdtemp(join(tmpdir(), 'forja-example-'))
  try {
    const env = { FORJA_DATA_DIR: empty, FORJA_OFFLINE: '1', HOME: empty, XDG_CACHE_HOME: empty }
    const failed = await node(['--import', 'tsx', 'examples/run.ts', 'lenet5'], env).catch((error) => error)
    expect(failed.stderr).toMatch(/^error: MNIST: train-images-idx3-ubyte\.gz is not on this machine/)
    expect(failed.stderr).toContain(`Put the file at ${empty}`)
    expect(failed.stderr).toMatch(/\nWithout the data: npm run example -- lenet5 --quick\n$/)
    expect(failed.stderr).not.toContain('    at ')
    expect(failed.code).toBe(1)
  } finally {
    await rm(empty, { recursive: true })
  }
})

it('lists the examples, and names one that is not there', async () => {
  const { stdout } = await node(['--import', 'tsx', 'examples/run.ts'])
  for (const folder of folders) expect(stdout).toContain(folder.slice(3))
  await expect(node(['--import', 'tsx', 'examples/run.ts', 'lenet55'])).rejects.toThrow("no example 'lenet55'")
})
