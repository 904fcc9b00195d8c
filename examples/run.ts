/**
 * npm run example -- NAME [--quick] [--data-dir DIR]: runs examples/NN-NAME/index.ts. Without a name: the list.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { ForjaError } from 'forja'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, 'data-dir': { type: 'string' } },
})
const folders = readdirSync(import.meta.dirname)
  .filter((name) => /^\d\d-/.test(name))
  .sort()
const [wanted] = positionals

if (wanted === undefined) {
  console.log('npm run example -- NAME, one of\n')
  for (const folder of folders) {
    const [title] = readFileSync(resolve(import.meta.dirname, folder, 'README.md'), 'utf8').split('\n')
    console.log(`  ${folder.slice(3).padEnd(28)} ${title!.replace(/^#\s*/, '')}`)
  }
} else {
  const folder = folders.find((name) => name.slice(3) === wanted || name === wanted)
  if (folder === undefined) {
    console.error(`There is no example '${wanted}'; \`npm run example\` lists them.`)
    process.exitCode = 2
  } else {
    if (values.quick) process.env.FORJA_EXAMPLE_QUICK = '1'
    if (values['data-dir'] !== undefined) process.env.FORJA_DATA_DIR = resolve(values['data-dir'])
    try {
      await import(pathToFileURL(resolve(import.meta.dirname, folder, 'index.ts')).href)
    } catch (error) {
      if (!(error instanceof ForjaError)) throw error
      // A message is enough for what its reader can mend.
      console.error(`error: ${error.message}`)
      if (error.code === 'ERR_OFFLINE') console.error(`Without the data: npm run example -- ${wanted} --quick`)
      process.exitCode = 1
    }
  }
}
