// What NVIDIA's libraries are asked to do, as the environment has made them. Arguments: the device, and what is run.
import { existsSync, readFileSync } from 'node:fs'
import { librariesOf } from '../../../dist/runtime/devices.js'
import { fj } from './work.mjs'

const [device, what] = process.argv.slice(2)
const outcome = (promise) => promise.catch(({ code, message }) => ({ code, message }))
const log = process.env.FORJA_FAKE_LOG
const calls = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [])
/** Small numbers that repeat: products of them are exact in every precision. */
const some = (...shape) =>
  fj.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i % 3) - 1),
    { shape },
  )

/** Two runs launched and recorded; the third is a replay. */
async function run(fn, inputs, options = {}) {
  const compiled = fj.compile(fn, { device, ...options })
  let outputs = []
  for (let i = 0; i < 3; i++) outputs = await compiled(...inputs)
  const data = await Promise.all(outputs.map(async (t) => [...(await t.data())]))
  return { data, kernels: compiled.explain().match(/(matmul|conv2d)\w* \w+( tf32| bfloat16)?(, measured)?/g) }
}

const product = (x, w) => [fj.matmul(x, w)]
const inputs = [some(9, 12), some(12, 10)]
const answers = {
  status: async () => librariesOf(device),

  /** One product by the library, then one without it. */
  one: async () => {
    const library = await outcome(run(product, inputs, { algorithms: { matmul: 'cublas' } }))
    return { library, after: (await run(product, inputs)).kernels }
  },

  /** One convolution by the library. */
  convolution: async () =>
    await outcome(
      run((x, w) => [fj.conv2d(x, w)], [some(1, 3, 5, 5), some(4, 3, 3, 3)], { algorithms: { conv2d: 'cudnn' } }),
    ),

  /** Products in every form, with what the library was told. */
  products: async () => {
    const results = {}
    const forms = {
      plain: [product, inputs],
      relu: [(x, w) => [fj.relu(fj.matmul(x, w))], inputs],
      bias: [(x, w, b) => [fj.linear(x, w, b)], [some(9, 12), some(10, 12), some(10)]],
      biasRelu: [(x, w, b) => [fj.relu(fj.linear(x, w, b))], [some(9, 12), some(10, 12), some(10)]],
      transposed: [(x, w) => [fj.matmul(x, w, { transposeA: true, transposeB: true })], [some(12, 9), some(10, 12)]],
      batch: [product, [some(3, 5, 4), some(3, 4, 6)]],
      broadcast: [product, [some(5, 4), some(3, 4, 6)]],
      mixed: [product, [some(2, 1, 5, 4), some(3, 4, 6)]],
      empty: [product, [fj.zeros([0, 4]), some(4, 6)]],
    }
    for (const [name, [fn, given]] of Object.entries(forms)) {
      for (const precision of ['float32', 'tf32', 'bfloat16']) {
        const before = calls().length
        const library = await run(fn, given, { precision, algorithms: { matmul: 'cublas' } })
        const told = calls().slice(before)
        const plain = await run(fn, given, { algorithms: { matmul: 'tiled' } })
        const same = JSON.stringify(library.data) === JSON.stringify(plain.data)
        results[`${name} ${precision}`] = { same, kernels: library.kernels, told }
      }
    }
    return results
  },

  /** A convolution and its gradients, which are sums of a few products: exact in every precision. */
  convolutions: async () => {
    const results = {}
    const forms = {
      plain: [[2, 8, 6, 5], [16, 8, 3, 3], {}],
      groups: [[1, 16, 5, 5], [32, 8, 3, 3], { groups: 2, padding: 1, dilation: [1, 2], stride: [2, 1] }],
      uneven: [[1, 8, 6, 6], [4, 8, 3, 3], { padding: 'same', stride: 2 }],
    }
    for (const [name, [x, w, options]] of Object.entries(forms)) {
      for (const precision of ['float32', 'tf32', 'bfloat16']) {
        const fn = (x, w, b) => {
          const y = fj.conv2d(x, w, b, options)
          return [fj.relu(y), ...fj.grad([y], [x, w], { gradOutputs: [some(...y.shape)] })]
        }
        const given = [some(...x), some(...w), some(w[0])]
        const before = calls().length
        const library = await run(fn, given, { precision, algorithms: { conv2d: 'cudnn' } })
        const told = calls().slice(before)
        const plain = await run(fn, given, { algorithms: { conv2d: 'implicit' } })
        const same = JSON.stringify(library.data) === JSON.stringify(plain.data)
        results[`${name} ${precision}`] = { same, kernels: library.kernels, told }
      }
    }
    return results
  },

  /** The same network of two products and a convolution twice, its variants open; the calls of the library each time. */
  tuned: async () => {
    const network = (x, w, v) => {
      const y = fj.conv2d(x, w, null, { padding: 1 })
      return [fj.matmul(fj.reshape(y, [4, 2048]), v)]
    }
    const given = [some(4, 4, 16, 16), some(8, 4, 3, 3), some(2048, 5)]
    const rounds = []
    for (let round = 0; round < 2; round++) {
      const before = calls().length
      const { kernels, data } = await run(network, given)
      rounds.push({ kernels, data, told: calls().slice(before) })
    }
    return rounds
  },
}
console.log(JSON.stringify(await answers[what]()))
