// What V8 is told of memory outside its heap follows buffers and arenas. Needs --expose-gc.
import { loadAddon } from '../../../dist/runtime/addon.js'
import { fj, sleep } from './work.mjs'

const MB = 2 ** 20
async function external() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc()
    await sleep(5)
  }
  return loadAddon().externalMemory() / MB
}
const device = new (loadAddon().Device)('cpu', 0)
const base = await external()
let buffers = Array.from({ length: 4 }, () => device.createBuffer(8 * MB))
const withBuffers = (await external()) - base
buffers[0].dispose()
buffers[0].dispose()
const afterDispose = (await external()) - base
buffers = null
const afterCollection = (await external()) - base

// 4 M elements are 16 MB, in the arena twice: broadcast, then transposed.
const f = fj.compile((x) => fj.sum(fj.transpose(fj.broadcastTo(x, [2048, 2048])), { axes: 0 }))
await f(fj.zeros([1, 2048]))
const withProgram = (await external()) - base
f.dispose()
await sleep(5)
const afterProgram = (await external()) - base
console.log(JSON.stringify({ withBuffers, afterDispose, afterCollection, withProgram, afterProgram }))
