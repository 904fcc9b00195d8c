// Results that the process has no memory for. The parent measures how much address space a process of its kind takes,
// the child may take half a result more than its buffers. Linux.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadAddon } from '../../../dist/runtime/addon.js'
import { fj } from './work.mjs'

const BYTES = 2 ** 31
const device = new (loadAddon().Device)('cpu', 0)

if (process.argv[2] !== 'limited') {
  await fj.ones([2]).mul(2).data()
  const kilobytes = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1])
  const limit = kilobytes + Math.floor((1.5 * BYTES) / 1024)
  const shell = `ulimit -v ${limit} && exec "$0" "$1" limited`
  process.stdout.write(execFileSync('sh', ['-c', shell, process.execPath, fileURLToPath(import.meta.url)]))
} else {
  // Nothing is written into it, so that it takes no memory, only addresses.
  const buffer = device.createBuffer(BYTES)
  const failures = []
  const note = async (call) => {
    try {
      await call()
      failures.push('none')
    } catch ({ code, message }) {
      failures.push(`${code}: ${message}`)
    }
  }
  await note(() => buffer.read(0, BYTES))
  buffer.dispose()
  const many = fj.compile((x) => fj.broadcastTo(x, [BYTES / 4]))
  await note(() => many(fj.ones([1])))
  many.dispose()
  const alive = Array.from(await fj.ones([2]).mul(2).data())
  console.log(JSON.stringify({ failures, alive }))
}
