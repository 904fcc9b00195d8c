// forja is loaded in worker threads only; argv: how a worker ends (return | exit | terminate), how many, how many runs
// in flight. The process must live on after the workers and end with 0.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

if (isMainThread) {
  const [ending, count, runs] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
  const stops = []
  const one = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { ending, runs } })
      worker.on('error', reject)
      worker.on('exit', resolve)
      worker.on('message', async () => {
        if (ending !== 'terminate') return
        await new Promise((r) => setTimeout(r, 30))
        const began = performance.now()
        await worker.terminate()
        stops.push(performance.now() - began)
      })
    })
  for (let i = 0; i < count; i += 2) await Promise.all(i + 1 < count ? [one(), one()] : [one()])
  await new Promise((resolve) => setTimeout(resolve, 300))
  console.log(JSON.stringify({ slowestStop: Math.max(0, ...stops), stops: stops.length }))
} else {
  const { chain, fj, sleep, square } = await import('./work.mjs')
  const { ending, runs } = workerData
  const short = chain(2)
  await (await short(square())).item()
  if (ending === 'terminate') {
    const long = chain(4000)
    const pending = Array.from({ length: runs }, () => long(square()))
    // Garbage for finalizers, tensors that wait to be read, a variable.
    const reads = Array.from({ length: 8 }, (_, i) => fj.add(square(), i).data())
    fj.variable(square())
    await Promise.race([reads[0], ...pending])
    parentPort.postMessage('busy')
    await Promise.all(pending)
  } else {
    await Promise.all(Array.from({ length: runs }, () => short(square())))
    if (ending === 'exit') {
      const long = chain(4000)
      long(square())
      await sleep(100)
      process.exit(0)
    }
  }
}
