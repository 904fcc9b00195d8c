/** TensorFlow.js on WebAssembly as a peer of the benches: what JavaScript has without a native addon. */
import { load, read, serve, Unsupported } from './protocol.mjs'

const [tf, wasm] = await load('@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm')
const { NETWORKS, parameters } = await import('./networks.mjs')

/** The channels-last kernels are the ones there are: images are turned before they are timed. */
const image = (spec) => tf.tidy(() => tensor(spec).transpose([0, 2, 3, 1]))
const filter = (spec) => tf.tidy(() => tensor(spec).transpose([2, 3, 1, 0]))
const tensor = (spec) => tf.tensor(read(spec), spec.shape)

/** The call, with its result in the order of the peers' protocol. */
async function prepared(compute, operands, show = (y) => y) {
  const y = compute()
  const shown = tf.tidy(() => show(y))
  const result = await shown.data()
  tf.dispose([y, shown])
  return {
    // WebAssembly computes when it is called; there is nothing to wait for.
    call: async () => compute().dispose(),
    result,
    release: () => tf.dispose(operands),
  }
}

function matmul({ transposeA, transposeB }, files) {
  const [a, b] = [tensor(files.a), tensor(files.b)]
  return prepared(() => tf.matMul(a, b, transposeA, transposeB), [a, b])
}

function conv({ direction, stride, padding }, files) {
  if (direction !== 'forward') throw new Unsupported('its WebAssembly backend has no gradients of convolutions')
  const [x, w] = [image(files.x), filter(files.weight)]
  return prepared(
    () => tf.conv2d(x, w, stride, padding),
    [x, w],
    (y) => y.transpose([0, 3, 1, 2]),
  )
}

function network({ model, train }, files) {
  if (train) throw new Unsupported('its WebAssembly backend has no gradients of convolutions')
  if (!NETWORKS[model]) throw new Unsupported(`no network ${model}`)
  const operands = []
  const keep = (x) => {
    operands.push(tf.keep(x))
    return x
  }
  const loaded = new Map()
  const once = (spec, make) => loaded.get(spec) ?? loaded.set(spec, keep(make(spec))).get(spec)
  const linearWeight = (spec) => tf.tidy(() => tensor(spec).transpose())
  const activation = (active) => (active ? 'relu' : 'linear')
  const layers = {
    relu: (y) => tf.relu(y),
    add: (a, b) => tf.add(a, b),
    conv: (x, w, bias, { stride = 1, padding = 0, relu = false } = {}) =>
      tf.fused.conv2d({
        x,
        filter: once(w, filter),
        strides: stride,
        pad: padding,
        bias: bias && once(bias, tensor),
        activation: activation(relu),
      }),
    batchNorm: (x, gamma, beta) => {
      const [channels] = gamma.shape
      const mean = once(`mean ${channels}`, () => tf.zeros([channels]))
      const variance = once(`variance ${channels}`, () => tf.ones([channels]))
      return tf.batchNorm(x, mean, variance, once(beta, tensor), once(gamma, tensor), 1e-5)
    },
    maxPool: (x) => tf.maxPool(x, 2, 2, 'valid'),
    globalAvgPool: (x) => tf.mean(x, [1, 2], true),
    // Weights of a linear layer count channels first.
    flatten: (x) => tf.transpose(x, [0, 3, 1, 2]).reshape([x.shape[0], -1]),
    linear: (x, w, bias, active = false) =>
      tf.fused.matMul({ a: x, b: once(w, linearWeight), bias: once(bias, tensor), activation: activation(active) }),
  }
  const x = keep(image(files.x))
  return prepared(() => tf.tidy(() => NETWORKS[model](layers, x, parameters(files))), operands)
}

const KINDS = { matmul, conv, network }

await serve(
  async (threads) => {
    wasm.setThreadsCount(threads)
    await tf.setBackend('wasm')
    await tf.ready()
    return `TensorFlow.js ${tf.version.tfjs}, WebAssembly, ${wasm.getThreadsCount()} thread(s)`
  },
  (kase, files) => KINDS[kase.kind](kase, files),
)
