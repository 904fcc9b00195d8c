// Reads a table whose cells as texts would take more than the JavaScript heap has.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fj } from './work.mjs'

const ROWS = 100_000
const folder = mkdtempSync(join(tmpdir(), 'forja-table-'))
try {
  const path = join(folder, 'large.csv')
  writeFileSync(path, `a,b,c,d,e,f,g,y\n${'1.25,2.5,3.75,4,5,6,7,0\n'.repeat(ROWS)}`)
  const { length, x } = await fj.data.csv(path)
  console.log(JSON.stringify({ length, last: [...x.subarray(-7)] }))
} finally {
  rmSync(folder, { recursive: true })
}
