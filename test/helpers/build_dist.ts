/** Before all tests: dist/ as the child processes of test/native import it, compiled anew where lib/ is newer. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export default function setup(): void {
  const built = `${root}/dist/index.js`
  const sources = readdirSync(`${root}/lib`, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
  const newest = Math.max(...sources.map((e) => statSync(`${e.parentPath}/${e.name}`).mtimeMs))
  if (existsSync(built) && statSync(built).mtimeMs > newest) return
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
}
