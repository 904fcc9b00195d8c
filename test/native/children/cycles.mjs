// Creating, running and disposing: argv gives cycles. Prints rss after a warm-up and at the end.
import { fj, settledRss, trainingStep } from './work.mjs'

async function cycle() {
  const { step, x, y, variables } = await trainingStep()
  await (await step(x, y)).loss.item()
  const big = fj.variable(fj.full([512, 512], 1))
  await big.data()
  big.dispose()
  step.dispose()
  for (const v of variables) v.dispose()
}
const count = Number(process.argv[2])
for (let i = 0; i < count / 2; i++) await cycle()
const warm = await settledRss()
for (let i = 0; i < count; i++) await cycle()
console.log(JSON.stringify({ warm, end: await settledRss() }))
