// 64 runs at once must not start a team each. Prints threads before, at the busiest moment, and after.
import { chain, square, threadCount } from './work.mjs'

const before = threadCount()
const run = chain(4)
await run(square())
let most = threadCount()
const watch = setInterval(() => {
  most = Math.max(most, threadCount())
}, 1)
await Promise.all(Array.from({ length: 64 }, () => run(square())))
clearInterval(watch)
console.log(JSON.stringify({ before, most, after: threadCount() }))
