// Work for the other scripts: programs that are long in seconds but short in each instruction.
import { existsSync, readFileSync } from 'node:fs'
import * as fj from '../../../dist/index.js'

export { fj }

/** A program of `count` products of 256 x 256 matrices; one argument. */
export function chain(count) {
  const weight = fj.eye(256)
  return fj.compile((x) => {
    let y = x
    for (let i = 0; i < count; i++) y = fj.matmul(y, weight)
    return fj.sum(y)
  })
}

export const square = () => fj.ones([256, 256])

/** Threads of this process, or 0 where the system does not say. */
export function threadCount() {
  if (!existsSync('/proc/self/status')) return 0
  return Number(/Threads:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Resident bytes after garbage collection, where --expose-gc was given. */
export async function settledRss() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.()
    await sleep(10)
  }
  return process.memoryUsage().rss
}

/** The largest rss of a few samples: what a plateau is compared with. */
export async function trainingStep(batch = 16) {
  const w1 = fj.variable(fj.full([32, 64], 0.01), { name: 'w1' })
  const b1 = fj.variable(fj.zeros([64]), { name: 'b1' })
  const w2 = fj.variable(fj.full([64, 8], 0.02), { name: 'w2' })
  const variables = [w1, b1, w2]
  const step = fj.compile((x, y) => {
    const error = fj.sub(fj.matmul(fj.relu(fj.add(fj.matmul(x, w1), b1)), w2), y)
    const loss = fj.div(fj.sum(fj.mul(error, error)), batch)
    const gradients = fj.grad(loss, variables)
    variables.forEach((v, i) => v.assign(fj.sub(v, fj.mul(gradients[i], 0.001))))
    return { loss }
  })
  const x = fj.tensor(
    Float32Array.from({ length: batch * 32 }, (_, i) => Math.sin(i)),
    { shape: [batch, 32] },
  )
  const y = fj.tensor(
    Float32Array.from({ length: batch * 8 }, (_, i) => Math.cos(i)),
    { shape: [batch, 8] },
  )
  return { step, x, y, variables }
}
