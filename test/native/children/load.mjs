// Loads the addon and runs one sum with the environment it was given; prints what came of it.
import { fj } from './work.mjs'

try {
  const sum = await fj.sum(fj.add(fj.ones([100]), 1)).item()
  const { loadAddon } = await import('../../../dist/runtime/addon.js')
  console.log(JSON.stringify({ sum, ...loadAddon().devices('cpu').devices[0] }))
} catch (error) {
  console.log(JSON.stringify({ code: error.code, message: error.message, hint: error.hint }))
}
