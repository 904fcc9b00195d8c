/**
 * A reader of event files, written from the formats alone and sharing nothing with the writer: TFRecord framing, CRC-32C
 * bit by bit, protocol buffers' wire format.
 */
import { readFileSync } from 'node:fs'

/** One bit at a time: remainder of the message as a polynomial, bits reversed. */
export function crcBitwise(bytes: Uint8Array): number {
  let crc = 0xffffffffn
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n
  }
  return Number(crc ^ 0xffffffffn)
}

export function maskBitwise(crc: number): number {
  const value = BigInt(crc)
  const rotated = ((value >> 15n) | (value << 17n)) & 0xffffffffn
  return Number((rotated + 0xa282ead8n) & 0xffffffffn)
}

/** Fields of a message by number, each a list: numbers, 8 or 4 bytes, or bytes with a length. */
export type Fields = Map<number, (number | Buffer)[]>

export function parse(bytes: Buffer): Fields {
  const fields: Fields = new Map()
  let at = 0
  const varint = (): number => {
    let [value, factor] = [0, 1]
    for (;;) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * factor
      factor *= 128
      if (byte < 0x80) return value
    }
  }
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error(`field ends at byte ${at + length} of ${bytes.length}`)
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const key = varint()
    const wire = key % 8
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : Number.NaN)
    const number = Math.floor(key / 8)
    fields.set(number, [...(fields.get(number) ?? []), value])
  }
  return fields
}

const bytesOf = (fields: Fields, number: number) => fields.get(number)?.[0] as Buffer | undefined
const text = (fields: Fields, number: number) => bytesOf(fields, number)?.toString('utf8')
const integer = (fields: Fields, number: number) => (fields.get(number)?.[0] ?? 0) as number
const double = (fields: Fields, number: number) => bytesOf(fields, number)?.readDoubleLE() ?? 0
const packed = (fields: Fields, number: number) => {
  const data = bytesOf(fields, number) ?? Buffer.alloc(0)
  return Array.from({ length: data.length / 8 }, (_, i) => data.readDoubleLE(8 * i))
}

export interface ReadEvent {
  wallTime: number
  step: number
  version?: string
  tag?: string
  scalar?: number
  image?: { height: number; width: number; colorspace: number; png: Buffer }
  histogram?: {
    min: number
    max: number
    num: number
    sum: number
    squares: number
    limits: number[]
    counts: number[]
  }
  graph?: { name: string; op: string; inputs: string[] }[]
}

function readEvent(data: Buffer): ReadEvent {
  const fields = parse(data)
  const event: ReadEvent = { wallTime: double(fields, 1), step: integer(fields, 2) }
  const version = text(fields, 3)
  if (version !== undefined) return { ...event, version }
  const graph = bytesOf(fields, 4)
  if (graph !== undefined) {
    const nodes = (parse(graph).get(1) ?? []).map((node) => parse(node as Buffer))
    const inputs = (node: Fields) => (node.get(3) ?? []).map((input) => String(input))
    return {
      ...event,
      graph: nodes.map((node) => ({ name: text(node, 1)!, op: text(node, 2)!, inputs: inputs(node) })),
    }
  }
  const value = parse(bytesOf(parse(bytesOf(fields, 5)!), 1)!)
  const tagged = { ...event, tag: text(value, 1)! }
  const [scalar, image, histogram] = [bytesOf(value, 2), bytesOf(value, 4), bytesOf(value, 5)]
  if (scalar !== undefined) return { ...tagged, scalar: scalar.readFloatLE() }
  if (image !== undefined) {
    const f = parse(image)
    const [height, width, colorspace] = [integer(f, 1), integer(f, 2), integer(f, 3)]
    return { ...tagged, image: { height, width, colorspace, png: bytesOf(f, 4)! } }
  }
  const h = parse(histogram!)
  const [min, max, num, sum, squares] = [1, 2, 3, 4, 5].map((i) => double(h, i)) as [
    number,
    number,
    number,
    number,
    number,
  ]
  return { ...tagged, histogram: { min, max, num, sum, squares, limits: packed(h, 6), counts: packed(h, 7) } }
}

/** Every event of a file; throws where a length or a checksum is wrong. */
export function readEvents(path: string): ReadEvent[] {
  const file = readFileSync(path)
  const events: ReadEvent[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    const data = file.subarray(at + 12, at + 12 + length)
    if (file.readUInt32LE(at + 8) !== maskBitwise(crcBitwise(file.subarray(at, at + 8))))
      throw new Error('CRC of length')
    if (file.readUInt32LE(at + 12 + length) !== maskBitwise(crcBitwise(data))) throw new Error('CRC of data')
    events.push(readEvent(data))
    at += length + 16
  }
  return events
}
