// Rejected calls (bad input, cancelled, disposed) leave nothing that keeps the process alive.
import { chain, fj, sleep, square } from './work.mjs'

const codes = []
const note = (promise) =>
  promise.then(
    () => codes.push('none'),
    (error) => codes.push(typeof error.code === 'string' ? error.code : error.name),
  )
const long = chain(4000)
const controller = new AbortController()
const pending = note(long(square(), { signal: controller.signal }))
await sleep(300)
controller.abort()
await pending
await note(long(square(), { signal: AbortSignal.abort() }))
long.dispose()
await note(long(square()))
const gone = fj.ones([2])
gone.dispose()
await note((async () => await gone.data())())
const v = fj.variable(fj.ones([2]))
await v.data()
v.dispose()
await note((async () => await v.data())())
console.log(JSON.stringify({ codes }))
