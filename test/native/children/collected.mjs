// Nothing is disposed: finalizers must free variables and programs. Needs --expose-gc.
import { fj, settledRss, sleep } from './work.mjs'

async function round(count) {
  for (let i = 0; i < count; i++) {
    // 256 KB each of variable, arena and a constant that is bound to the program
    const v = fj.variable(fj.full([256, 256], i))
    const constant = fj.tensor(new Float32Array(256 * 256))
    const f = fj.compile((x) => fj.sum(fj.add(fj.matmul(v, x), fj.reshape(constant, [256, 256]))))
    await f(fj.zeros([256, 1]))
    if (i % 10 === 0) {
      globalThis.gc()
      await sleep(0)
    }
  }
}
await round(300)
const warm = await settledRss()
await round(Number(process.argv[2] ?? 1000))
const end = await settledRss()
console.log(JSON.stringify({ warm, end, external: process.memoryUsage().external }))
