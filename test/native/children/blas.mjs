// One product by the machine's BLAS library, with the environment it was given; prints what came of it.
import { fj } from './work.mjs'

const product = fj.compile(() => fj.sum(fj.matmul(fj.ones([3, 4]), fj.ones([4, 5]))), {
  algorithms: { matmul: 'blas' },
})
try {
  console.log(JSON.stringify({ sum: await (await product()).item() }))
} catch (error) {
  console.log(JSON.stringify({ code: error.code, message: error.message }))
}
