/** The side of lib/bench/peers.ts that a peer in JavaScript has: commands on stdin, answers on stdout. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** A case that the peer cannot do. */
export class Unsupported extends Error {}

/** Elements of a file of the case. */
export function read({ path, dtype }) {
  const bytes = readFileSync(path)
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
  return dtype === 'int32' ? new Int32Array(buffer) : new Float32Array(buffer)
}

/** Imports libraries; where one is not installed, answers so and ends. */
export async function load(...names) {
  try {
    return await Promise.all(names.map((name) => import(name)))
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
    await answer({ absent: `${names.join(', ')} not installed; run npm install in ${import.meta.dirname}` })
    process.exit()
  }
}

function answer(fields) {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(fields)}\n`, resolve))
}

/**
 * hello(threads) resolves to the version; prepare(case, files) to {call, result}: an async function to time, and the
 * Float32Array to compare.
 */
export async function serve(hello, prepare) {
  let prepared
  const actions = {
    hello: async ({ threads }) => ({ version: await hello(threads) }),
    prepare: async (command) => {
      await prepared?.release?.()
      prepared = undefined
      try {
        prepared = await prepare(command.case, command.files)
      } catch (error) {
        if (!(error instanceof Unsupported)) throw error
        return { unsupported: error.message }
      }
      const { buffer, byteOffset, byteLength } = prepared.result
      writeFileSync(command.result, new Uint8Array(buffer, byteOffset, byteLength))
      return {}
    },
    time: async ({ seconds }) => {
      const samples = []
      const end = performance.now() + 1000 * seconds
      while (samples.length === 0 || performance.now() < end) {
        const begin = performance.now()
        await prepared.call()
        samples.push((performance.now() - begin) / 1000)
      }
      return { samples }
    },
  }
  for await (const line of createInterface(process.stdin)) {
    const command = JSON.parse(line)
    await answer(await actions[command.do](command))
  }
}
