// Calls a program of microseconds, one call after the other, until a timer of 50 ms ends that. Prints whether it did, and
// the calls; gives up after 10 s.
import { fj } from './work.mjs'

const counter = fj.variable(fj.zeros([]))
const tiny = fj.compile(() => {
  void counter.assign(fj.add(counter, 1))
})
let fired = false
setTimeout(() => {
  fired = true
}, 50)
let calls = 0
for (const end = performance.now() + 10_000; !fired && performance.now() < end; calls++) await tiny()
console.log(JSON.stringify({ fired, calls, counted: await counter.item() }))
