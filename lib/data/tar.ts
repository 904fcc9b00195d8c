/**
 * The files of a tar archive (POSIX ustar) in memory: blocks of 512 bytes, each file a header and its bytes padded to
 * whole blocks. Of a header only name (bytes 0..99), size (bytes 124..135, octal) and type (byte 156) are read.
 */
import { ForjaError } from '../errors.js'

const BLOCK = 512

/**
 * The regular files, by their path in the archive; the bytes are views of `bytes`.
 *
 * @param what names the archive in error texts
 */
export function parseTar(bytes: Uint8Array, what: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  const text = (from: number, length: number) => {
    const field = bytes.subarray(from, from + length)
    const end = field.indexOf(0)
    return Buffer.from(field.subarray(0, end < 0 ? length : end)).toString('latin1')
  }
  let at = 0
  while (at < bytes.length && bytes[at] !== 0) {
    if (bytes.length - at < BLOCK) throw broken(what, at, `a header of ${BLOCK} bytes`, `${bytes.length - at}`)
    const name = text(at, 100)
    const octal = text(at + 124, 12).trim()
    if (!/^[0-7]+$/.test(octal)) throw broken(what, at + 124, 'an octal size', JSON.stringify(octal))
    const size = Number.parseInt(octal, 8)
    const type = bytes[at + 156]!
    const start = at + BLOCK
    if (size > bytes.length - start) throw broken(what, start, `${size} bytes of ${name}`, `${bytes.length - start}`)
    if (type === 0 || type === 0x30) files.set(name, bytes.subarray(start, start + size))
    at = start + Math.ceil(size / BLOCK) * BLOCK
  }
  return files
}

function broken(what: string, at: number, expected: string, found: string): ForjaError {
  return new ForjaError(
    'ERR_FORMAT',
    `${what}: not a whole tar archive: expected ${expected} at byte ${at}, found ${found}`,
  )
}
