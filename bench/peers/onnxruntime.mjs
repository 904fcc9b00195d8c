/** ONNX Runtime (its CPU kernels, MLAS) as a peer of the benches: inference only, of models that onnx.mjs writes. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { load, read, serve, Unsupported } from './protocol.mjs'

const [{ default: ort }] = await load('onnxruntime-node')
const { Graph } = await import('./onnx.mjs')
const { CLASSES, NETWORKS, parameters } = await import('./networks.mjs')

let threads = 1

async function session(model) {
  return await ort.InferenceSession.create(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  })
}

/** A model with its inputs as tensors. */
async function prepared(model, feeds, output) {
  const ready = await session(model)
  const call = () => ready.run(feeds)
  return { call, result: (await call())[output].data, release: () => ready.release() }
}

function tensor(spec) {
  return new ort.Tensor('float32', read(spec), spec.shape)
}

function matmul({ transposeA, transposeB }, { a, b }) {
  const graph = new Graph()
  const turned = (name, spec, transpose) => {
    const value = graph.input(name, spec.shape)
    return transpose ? graph.node('Transpose', [value], { perm: [1, 0] }) : value
  }
  const y = graph.node('MatMul', [turned('a', a, transposeA), turned('b', b, transposeB)])
  const shape = [a.shape[transposeA ? 1 : 0], b.shape[transposeB ? 0 : 1]]
  return prepared(graph.encode(y, shape), { a: tensor(a), b: tensor(b) }, y)
}

function conv({ direction, stride, padding }, { x, weight }) {
  if (direction !== 'forward') throw new Unsupported('it does not train')
  const graph = new Graph()
  const [k, , r, s] = weight.shape
  const size = (extent, taps) => Math.floor((extent + 2 * padding - taps) / stride) + 1
  const y = layersOf(graph).conv(graph.input('x', x.shape), weight, undefined, { stride, padding })
  const shape = [x.shape[0], k, size(x.shape[2], r), size(x.shape[3], s)]
  return prepared(graph.encode(y, shape), { x: tensor(x) }, y)
}

function layersOf(graph) {
  const weight = (spec) => graph.weight(read(spec), spec.shape)
  const relu = (y) => graph.node('Relu', [y])
  return {
    relu,
    add: (a, b) => graph.node('Add', [a, b]),
    conv: (x, w, bias, { stride = 1, padding = 0, relu: active = false } = {}) => {
      const attributes = { strides: [stride, stride], pads: [padding, padding, padding, padding] }
      const y = graph.node('Conv', [x, weight(w), ...(bias ? [weight(bias)] : [])], attributes)
      return active ? relu(y) : y
    },
    // Statistics of a fresh network: mean 0, variance 1.
    batchNorm: (x, gamma, beta) => {
      const [channels] = gamma.shape
      const mean = graph.weight(new Float32Array(channels), [channels])
      const variance = graph.weight(new Float32Array(channels).fill(1), [channels])
      return graph.node('BatchNormalization', [x, weight(gamma), weight(beta), mean, variance], { epsilon: 1e-5 })
    },
    maxPool: (x) => graph.node('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] }),
    globalAvgPool: (x) => graph.node('GlobalAveragePool', [x]),
    flatten: (x) => graph.node('Flatten', [x], { axis: 1 }),
    linear: (x, w, bias, active = false) => {
      const y = graph.node('Gemm', [x, weight(w), weight(bias)], { transB: 1 })
      return active ? relu(y) : y
    },
  }
}

function network({ model, train }, files) {
  if (train) throw new Unsupported('it does not train')
  if (!NETWORKS[model]) throw new Unsupported(`no network ${model}`)
  const graph = new Graph()
  const y = NETWORKS[model](layersOf(graph), graph.input('x', files.x.shape), parameters(files))
  return prepared(graph.encode(y, [files.x.shape[0], CLASSES[model]]), { x: tensor(files.x) }, y)
}

const KINDS = { matmul, conv, network }

function version() {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node')
  const { version } = JSON.parse(readFileSync(join(dirname(main), '..', 'package.json'), 'utf8'))
  return `onnxruntime-node ${version}`
}

await serve(
  (count) => {
    threads = count
    return version()
  },
  (kase, files) => KINDS[kase.kind](kase, files),
)
