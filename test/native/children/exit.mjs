// process.exit while a long run and a queue behind it are in flight.
import { chain, sleep, square } from './work.mjs'

const long = chain(4000)
await Promise.race([long(square()), sleep(400)])
for (let i = 0; i < 20; i++) long(square())
await sleep(50)
process.on('exit', () => process.stdout.write(`${JSON.stringify({ exitAt: Date.now() })}\n`))
process.exit(7)
