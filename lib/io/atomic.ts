/**
 * Files that are either the old or the new one, never half of one.
 */
import { randomBytes } from 'node:crypto'
import { open, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describeGiven, ForjaError } from '../errors.js'

/**
 * Writes the pieces under a temporary name in the same folder, forces them to the disk and renames. A link is followed: the
 * file it points to is replaced. Who may read and write a file stays as it was.
 */
export async function writeFileAtomic(path: string, ...pieces: readonly Uint8Array[]): Promise<void> {
  if (typeof path !== 'string' || path === '') {
    throw new ForjaError('ERR_ARGUMENT', `the path of a file expected, got ${describeGiven(path)}`)
  }
  const target = await realpath(path).catch(() => path)
  const folder = dirname(target)
  const temporary = join(folder, `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const before = await stat(target).catch(() => undefined)
    const file = await open(temporary, 'wx', before?.mode)
    try {
      // Not every file system knows modes.
      if (before) await file.chmod(before.mode).catch(() => undefined)
      for (const piece of pieces) await file.writeFile(piece)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, target)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw new ForjaError('ERR_ARGUMENT', `${path} cannot be written: ${(cause as Error).message}`, { cause })
  }
  await syncFolder(folder)
}

/** Makes the rename itself durable. Windows cannot open folders and needs none of it. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}
