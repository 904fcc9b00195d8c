import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readFileWhole } from '../../lib/io/read.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'forja-read-'))
})
afterAll(() => rm(folder, { recursive: true }))

it.each([1, 7, 100, 101, 2 ** 30])('reads a file whole, %i bytes at once', async (piece) => {
  const path = join(folder, 'bytes')
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i)
  await writeFile(path, bytes)
  expect(await readFileWhole(path, piece)).toEqual(bytes)
})

it('gives what is left of a file that is cut short meanwhile', async () => {
  const path = join(folder, 'cut')
  await writeFile(path, new Uint8Array(1000))
  const reading = readFileWhole(path, 1)
  await truncate(path, 10)
  const { length } = await reading
  expect(length).toBeGreaterThanOrEqual(10)
  expect(length).toBeLessThanOrEqual(1000)
})

it('reads no further than a file that is larger than any memory', async () => {
  const path = join(folder, 'sparse')
  await writeFile(path, '')
  // Takes no room on the disk.
  await truncate(path, 2 ** 43)
  await expect(readFileWhole(path)).rejects.toMatchObject({
    code: 'ERR_OUT_OF_MEMORY',
    message: `${path} cannot be read: no memory for ${2 ** 43} elements of uint8`,
  })
})

it('names what is no file', async () => {
  const expected = (why: RegExp) => ({ code: 'ERR_ARGUMENT', message: expect.stringMatching(why) })
  await expect(readFileWhole(join(folder, 'none'))).rejects.toMatchObject(expected(/none cannot be read: ENOENT/))
  await expect(readFileWhole(folder)).rejects.toMatchObject(expected(/cannot be read: it is a folder/))
  await expect(readFileWhole('/dev/zero')).rejects.toMatchObject(
    expected(/cannot be read: (it is no regular file|ENOENT)/),
  )
  await expect(readFileWhole(undefined as never)).rejects.toMatchObject(
    expected(/undefined cannot be read: The "path"/),
  )
})
