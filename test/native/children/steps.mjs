// Many steps of a small training loop, several in flight. Prints rss after a warm-up of half as many and at the end, and how late the
// event loop was, in ms.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { settledRss, trainingStep } from './work.mjs'

const steps = Number(process.argv[2])
const { step, x, y } = await trainingStep()
const first = await (await step(x, y)).loss.item()
const run = async (count) => {
  const queue = []
  for (let i = 0; i < count; i++) {
    queue.push(step(x, y))
    if (queue.length === 4) await queue.shift()
  }
  return await Promise.all(queue)
}
await run(steps / 2)
const warm = await settledRss()
// Twenty windows, the quietest counts: other processes delay the loop too, but what this one does is in all of them.
const windows = []
let answers = []
for (let i = 0; i < 20; i++) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  answers = await run(steps / 20)
  delay.disable()
  windows.push(delay.percentile(99) / 1e6)
}
const last = await answers.at(-1).loss.item()
console.log(
  JSON.stringify({
    warm,
    end: await settledRss(),
    first,
    last,
    p99: Math.min(...windows),
  }),
)
