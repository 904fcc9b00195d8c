/**
 * PNG files of 8-bit images: signature, IHDR, one IDAT with every row unfiltered, IEND.
 */
import { crc32, deflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
/** By the number of channels: grey, grey and alpha, RGB, RGBA. */
const COLOUR_TYPES = [0, 4, 2, 6]

/** @param pixels (height, width, channels), 1 to 4 channels */
export function encodePng(pixels: Uint8Array, height: number, width: number, channels: number): Uint8Array {
  const stride = width * channels
  const rows = Buffer.alloc(height * (stride + 1)) // each row begins with its filter, 0: none
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1)
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 8 // bits a sample
  header[9] = COLOUR_TYPES[channels - 1]!
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Length, type, data, CRC-32 of type and data; big-endian. */
function chunk(type: string, data: Uint8Array): Buffer {
  const out = Buffer.alloc(data.length + 12)
  out.writeUInt32BE(data.length, 0)
  out.write(type, 4, 'latin1')
  out.set(data, 8)
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length)
  return out
}
