/**
 * The memory plan: an offset in ONE arena for every value that a program computes. Largest first, each at the lowest
 * offset where it overlaps no value that lives at the same time. A step may write its output over an input of the same
 * size that dies there, where its operation allows it: both then are one block.
 *
 * Blocks that take turns in memory tie their steps to one order. A device with `branches` runs steps that share no
 * memory side by side: there a small arena is laid out without turns.
 */
import type { Value } from '../graph/graph.js'
import { byteSize } from '../shape.js'
import type { Schedule, Step } from './schedule.js'
import { indexOfFirst, lastUses, storageOf } from './storage.js'

/** Bytes; FJ_ALIGNMENT of native/abi/program.h. */
const ALIGNMENT = 64

/** Bytes of an arena that is still small: the L2 cache of a large GPU holds it. */
const SMALL = 32 * 2 ** 20

/** A piece of memory in use from step `first` to step `last`, both included. */
export interface Block {
  readonly bytes: number
  first: number
  last: number
}

export interface Plan {
  readonly offsets: ReadonlyMap<Value, number>
  readonly arenaBytes: number
  /** What the arena would be without any reuse. */
  readonly naiveBytes: number
  /** Values that took over the memory of an input. */
  readonly inPlace: number
}

export function plan(schedule: Schedule, { branches = false }: { branches?: boolean } = {}): Plan {
  const { steps } = schedule
  const blocks = new Map<Value, Block>()
  const lastUse = lastUses(steps, schedule.outputs)
  let inPlace = 0
  steps.forEach((step, index) => {
    for (const output of step.outputs) {
      if (!('node' in output)) continue
      const last = lastUse.get(output) ?? index
      const donor = findDonor(step, index, output, blocks)
      if (donor) {
        donor.last = last
        blocks.set(output, donor)
        inPlace++
      } else {
        blocks.set(output, { bytes: align(byteSize(output)), first: index, last })
      }
    }
  })
  const unique = [...new Set(blocks.values())]
  const apart = branches && unique.reduce((total, block) => total + block.bytes, 0) <= SMALL
  const placed = apart ? placeApart(unique) : placeBlocks(unique)
  const offsets = new Map([...blocks].map(([value, block]) => [value, placed.offsets.get(block)!]))
  const naiveBytes = [...blocks.keys()].reduce((total, value) => total + align(byteSize(value)), 0)
  return { offsets, arenaBytes: placed.bytes, naiveBytes, inPlace }
}

/** The block of an input that dies at this step and that the output may overwrite. */
function findDonor(step: Step, index: number, output: Value, blocks: ReadonlyMap<Value, Block>): Block | undefined {
  const { traits } = step.node.op
  const position = step.node.outputs.indexOf(output)
  if (position < 0) return undefined // of joined steps
  const placesOf = (block: Block) =>
    [...step.inputs, ...step.node.outputs.slice(0, position)].filter((v) => blocks.get(storageOf(v)) === block).length
  const candidates =
    traits.inplace
      ?.filter(([out, input]) => out === position && input < step.inputs.length)
      .map(([, input]) => step.inputs[input]!) ??
    (traits.inplaceAny ? step.inputs.filter((input) => input.size === output.size) : [])
  for (const input of candidates) {
    const block = blocks.get(storageOf(input))
    if (
      block &&
      block.last === index &&
      byteSize(input) === byteSize(output) &&
      block.bytes === align(byteSize(output)) &&
      // Other kernels may read the donor elsewhere too.
      (traits.inplaceAny || placesOf(block) === 1)
    )
      return block
  }
  return undefined
}

/** Offsets for blocks, one behind the other. */
function placeApart(blocks: readonly Block[]): { offsets: Map<Block, number>; bytes: number } {
  let bytes = 0
  const offsets = new Map<Block, number>()
  for (const block of blocks) {
    offsets.set(block, bytes)
    bytes += block.bytes
  }
  return { offsets, bytes }
}

/** Offsets for blocks so that no two that live at the same time overlap. Greedy by size. */
function placeBlocks(blocks: readonly Block[]): { offsets: Map<Block, number>; bytes: number } {
  const offsets = new Map<Block, number>()
  /** By offset, so that the gap is found on the way: of thousands of blocks no list is made and sorted for each. */
  const placed: { first: number; last: number; begin: number; end: number }[] = []
  let total = 0
  const bySize = [...blocks].sort((a, b) => b.bytes - a.bytes || a.first - b.first)
  for (const block of bySize) {
    let offset = 0
    for (const { first, last, begin, end } of placed) {
      if (first > block.last || block.first > last) continue
      if (begin - offset >= block.bytes) break
      offset = Math.max(offset, end)
    }
    const { first, last, bytes } = block
    const behind = indexOfFirst(placed, ({ begin }) => begin > offset)
    placed.splice(behind, 0, { first, last, begin: offset, end: offset + bytes })
    offsets.set(block, offset)
    total = Math.max(total, offset + bytes)
  }
  return { offsets, bytes: total }
}

function align(bytes: number): number {
  return Math.ceil(Math.max(bytes, 1) / ALIGNMENT) * ALIGNMENT
}
