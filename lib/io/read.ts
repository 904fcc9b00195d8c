/**
 * Files that are read whole.
 */
import { open } from 'node:fs/promises'
import { allocate } from '../dtype.js'
import { ForjaError } from '../errors.js'

/** The system reads less than 2^31 bytes at once. */
const PIECE = 2 ** 30

/**
 * The bytes of a file, as many as it has when it is opened, fewer where it is cut short meanwhile.
 *
 * @param piece bytes read at once
 * @throws ERR_ARGUMENT for what cannot be read and for what is no file, whose end need not come; ERR_OUT_OF_MEMORY
 */
export async function readFileWhole(path: string, piece = PIECE): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r')
    try {
      const found = await file.stat()
      if (!found.isFile()) throw new Error(`it is ${found.isDirectory() ? 'a folder' : 'no regular file'}`)
      const bytes = allocate('uint8', found.size)
      let at = 0
      while (at < bytes.length) {
        const { bytesRead } = await file.read(bytes, at, Math.min(piece, bytes.length - at), at)
        if (bytesRead === 0) break
        at += bytesRead
      }
      return bytes.subarray(0, at)
    } finally {
      await file.close()
    }
  } catch (cause) {
    const code = cause instanceof ForjaError ? cause.code : 'ERR_ARGUMENT'
    throw new ForjaError(code, `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}
