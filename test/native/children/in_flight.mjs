// Nothing but two runs in flight keeps this process alive: both must be answered before it ends.
import { chain, square } from './work.mjs'

const [short, long] = [chain(2), chain(60)]
await Promise.all([short(square()), long(square())])
const done = []
short(square()).then(() => done.push('short'))
long(square()).then(() => done.push('long'))
process.on('exit', () => console.log(JSON.stringify({ done })))
