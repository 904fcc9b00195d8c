// Small graphs that between them use every operation: what the fuzzer mutates. Each entry gives functions of `fj` that
// it needs (an entry whose operations do not exist yet is left out, and listed) and a function that returns
// { outputs, assignments }. Sizes are small and awkward.
import { Graph } from '../../../dist/graph/graph.js'
import * as forja from '../../../dist/index.js'
import { makeLeaf } from '../../../dist/ops/creation.js'
import { lower } from '../../../dist/passes/lower.js'
import { AddonDevice } from '../../../dist/runtime/native_device.js'
import { Tensor } from '../../../dist/tensor.js'

const fj = { ...forja }
const input = (shape, dtype = 'float32') => new Tensor(makeLeaf({ kind: 'input', name: 'x' }, { shape, dtype }))
const variable = (shape) => fj.variable(fj.zeros(shape), { name: 'w' })
const float = (...shape) => input(shape)
const int = (...shape) => input(shape, 'int32')
const withGrad = (y, inputs) => [y, ...fj.grad(fj.sum(y), inputs)]

/** One function of one float tensor, with its gradient. */
const unary = (name, ...args) => ({
  needs: [name],
  build: () => {
    const x = float(3, 33)
    return withGrad(fj[name](x, ...args), [x])
  },
})
const plain = (name, build) => ({ needs: Array.isArray(name) ? name : [name], build })

function trainingProgram() {
  const [w1, b1, w2] = [variable([7, 9]), variable([9]), variable([9, 3])]
  const [x, y] = [float(5, 7), float(5, 3)]
  const error = fj.sub(fj.matmul(fj.relu(fj.add(fj.matmul(x, w1), b1)), w2), y)
  const loss = fj.sum(fj.mul(error, error))
  const gradients = fj.grad(loss, [w1, b1, w2])
  const assignments = [w1, b1, w2].map((w, i) => ({
    variable: w.state,
    value: fj.sub(w, fj.mul(gradients[i], 0.1)).value,
  }))
  return { outputs: [loss], assignments }
}

const ENTRIES = [
  plain('matmul', trainingProgram),
  plain('add', () => [fj.add(fj.mul(float(3, 1), float(1, 33)), 2), fj.div(float(7), fj.neg(float(7)))]),
  plain('transpose', () => [fj.transpose(float(3, 4, 5), [2, 0, 1]), fj.sum(float(3, 4, 5), { axes: [0, 2] })]),
  plain('matmul', () => withGrad(fj.relu(fj.matmul(float(2, 3, 5), float(5, 4))), [])),
  plain('full', () => [fj.full([2, 3], 7), fj.full([3], 2, { dtype: 'int32' })]),
  ...'abs sign square sqrt rsqrt reciprocal exp expm1 log log1p sin cos erf relu relu6 leakyRelu elu selu gelu silu'
    .split(' ')
    .concat('softplus sigmoid tanh hardswish softmax logSoftmax'.split(' '))
    .map((name) => unary(name)),
  plain('clamp', () => [fj.clamp(float(31), { min: -1, max: 1 })]),
  plain('pow', () => [fj.pow(float(31), float(31)), fj.maximum(float(31), float(1)), fj.minimum(float(31), float(31))]),
  plain('where', () => [fj.where(fj.less(float(31), float(31)), float(31), float(1))]),
  plain('equal', () => [fj.logicalAnd(fj.equal(float(9), float(9)), fj.greaterEqual(int(9), int(9)))]),
  ...'mean max min prod variance logSumExp'.split(' ').map((name) => unary(name, { axes: [1] })),
  ...'argMax argMin'.split(' ').map((name) => plain(name, () => [fj[name](float(3, 33), { axis: 1 })])),
  plain('topK', () => Object.values(fj.topK(float(3, 33), { k: 5 }))),
  plain('cumSum', () => [fj.cumSum(float(3, 33), { axis: 1 })]),
  plain('concat', () => [fj.concat([float(2, 3), float(4, 3)], { axis: 0 })]),
  plain('split', () => fj.split(float(6, 3), 2, { axis: 0 })),
  plain('slice', () => [fj.slice(float(6, 7), { starts: [1, 2], ends: [5, 7], steps: [2, 1] })]),
  plain('pad', () => [
    fj.pad(float(4, 5), {
      pads: [
        [1, 2],
        [0, 1],
      ],
    }),
  ]),
  plain('pad', () => [
    fj.pad(float(4, 5), {
      pads: [
        [1, 2],
        [0, 1],
      ],
      mode: 'reflect',
    }),
  ]),
  plain('flip', () => [fj.flip(float(4, 5), { axes: [1] })]),
  plain('tile', () => [fj.tile(float(4, 5), [2, 3])]),
  plain('cast', () => [fj.cast(float(31), 'int32'), fj.cast(int(31), 'uint8')]),
  plain('gather', () => {
    const x = float(5, 7)
    return withGrad(fj.gather(x, int(3, 7), { axis: 0 }), [x])
  }),
  plain('embedding', () => {
    const weight = float(11, 5)
    return withGrad(fj.embedding(int(2, 3), weight), [weight])
  }),
  plain('oneHot', () => [fj.oneHot(int(6), { depth: 5 })]),
  plain('takeAlongAxis', () => {
    const x = float(5, 7)
    return withGrad(fj.takeAlongAxis(x, int(2, 7), { axis: 0 }), [x])
  }),
  plain('col2im', () => [fj.col2im(float(2, 9, 16), { outputSize: [6, 6], kernelSize: 3 })]),
  plain('scatterAdd', () => [fj.scatterAdd(float(5, 7), int(3), float(3, 7), { axis: 0 })]),
  plain('conv2d', () => {
    const [x, w, b] = [float(2, 3, 7, 6), float(4, 3, 3, 3), float(4)]
    return withGrad(fj.conv2d(x, w, b, { padding: 1, stride: 2 }), [x, w, b])
  }),
  plain('conv2d', () => {
    const [x, w] = [float(1, 4, 6, 6), float(4, 1, 3, 3)]
    return withGrad(fj.conv2d(x, w, undefined, { groups: 4, dilation: 2, padding: 2 }), [x, w])
  }),
  plain('maxPool2d', () => {
    const [x, w, b] = [float(1, 1, 14, 14), float(12, 1, 7, 7), float(12)]
    const p = fj.maxPool2d(fj.relu(fj.conv2d(x, w, b, { padding: 3 })), { kernelSize: 2 })
    return [p, ...fj.grad(fj.sum(p), [w, b])]
  }),
  plain('maxPool2d', () => {
    const y = fj.conv2d(float(1, 4, 12, 12), float(16, 4, 5, 5), null, { padding: 2 })
    return [fj.maxPool2d(y, { kernelSize: 3, stride: 2, padding: 1 })]
  }),
  plain('maxPool2d', () => {
    const [x, w] = [float(2, 3, 9, 10), float(5, 3, 3, 4)]
    const p = fj.maxPool2d(fj.conv2d(x, w, null, { padding: 1 }), { kernelSize: 3, stride: 2, padding: 1 })
    return [p, ...fj.grad(fj.sum(p), [x, w])]
  }),
  plain('maxPool2d', () => {
    const x = float(1, 2, 7, 6)
    const p = fj.maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 })
    const [dx] = fj.grad(fj.sum(fj.square(p)), [x])
    return fj.grad(fj.sum(fj.square(dx)), [x])
  }),
  plain('convTranspose2d', () => {
    const [x, w] = [float(1, 3, 4, 4), float(3, 2, 3, 3)]
    return withGrad(fj.convTranspose2d(x, w, undefined, { stride: 2 }), [x, w])
  }),
  plain('im2col', () => [fj.im2col(float(1, 2, 5, 5), { kernelSize: 3 })]),
  ...'maxPool2d avgPool2d'.split(' ').map((name) => unaryImage(name, { kernelSize: 3, stride: 2, padding: 1 })),
  ...'adaptiveAvgPool2d adaptiveMaxPool2d'.split(' ').map((name) => unaryImage(name, { outputSize: 3 })),
  unaryImage('globalAvgPool2d'),
  unaryImage('localResponseNorm', { size: 3 }),
  unaryImage('interpolate', { size: [9, 5], mode: 'bilinear' }),
  plain('nmsPadded', () => Object.values(fj.nmsPadded(float(9, 4), float(9)))),
  plain('roiAlign', () => {
    const x = float(2, 3, 5, 6)
    return withGrad(fj.roiAlign(x, float(3, 5), { outputSize: [2, 3], samplingRatio: 2 }), [x])
  }),
  plain('roiPool', () => {
    const x = float(2, 3, 5, 6)
    return withGrad(fj.roiPool(x, float(3, 5), { outputSize: 2 }), [x])
  }),
  plain('layerNorm', () => {
    const [x, gamma, beta] = [float(3, 33), float(33), float(33)]
    return withGrad(fj.layerNorm(x, { gamma, beta, normalizedShape: [33] }), [x, gamma, beta])
  }),
  plain('groupNorm', () => {
    const [x, gamma, beta] = [float(2, 4, 3, 3), float(4), float(4)]
    return withGrad(fj.groupNorm(x, { groups: 2, gamma, beta }), [x, gamma, beta])
  }),
  plain('batchNorm', () => {
    const [x, gamma, beta] = [float(2, 3, 7, 6), float(3), float(3)]
    return withGrad(fj.relu(fj.batchNorm(x, { gamma, beta, training: true })), [x, gamma, beta])
  }),
  plain('batchNorm', () => {
    const [x, r, gamma, beta] = [float(5, 3), float(5, 3), float(3), float(3)]
    const y = fj.relu(fj.add(fj.batchNorm(x, { gamma, beta, training: true }), fj.exp(r)))
    return withGrad(y, [x, r, gamma, beta])
  }),
  plain('batchNorm', () => {
    const options = { gamma: float(3), beta: float(3), runningMean: float(3), runningVar: float(3), training: false }
    return [fj.batchNorm(float(2, 3, 7, 6), options)]
  }),
  ...Object.entries({ rnn: 1, lstm: 4, gru: 3 }).map(([name, blocks]) =>
    plain(name, () => {
      const x = float(3, 4, 5)
      const rows = blocks * 7
      const weights = {
        weight_ih_l0: float(rows, 5),
        weight_hh_l0: float(rows, 7),
        bias_ih_l0: float(rows),
        bias_hh_l0: float(rows),
      }
      const states = Object.values(fj[name](x, weights))
      return [...states, ...fj.grad(states.map((s) => fj.sum(s)).reduce(fj.add), [x, ...Object.values(weights)])]
    }),
  ),
  plain('crossEntropy', () => {
    const x = float(5, 10)
    return withGrad(fj.crossEntropy(x, int(5)), [x])
  }),
  ...'mseLoss l1Loss smoothL1Loss huberLoss binaryCrossEntropyWithLogits'.split(' ').map((name) =>
    plain(name, () => {
      const x = float(5, 3)
      return withGrad(fj[name](x, float(5, 3)), [x])
    }),
  ),
]

/** The graph of a compiled function: what it is after tracing, updates and random numbers included. */
async function traced(fn, ...args) {
  const { compile } = AddonDevice.prototype
  let graph
  AddonDevice.prototype.compile = function (...made) {
    graph ??= made[0] // the next ones compute initial values
    return compile.apply(this, made)
  }
  try {
    await fj.compile(fn, { device: 'cpu' })(...args)
  } finally {
    AddonDevice.prototype.compile = compile
  }
  return graph
}

/** Updates of every native optimizer, dropout, and the operations that gather along an axis. */
async function tracedGraphs() {
  const x = fj.zeros([5, 7])
  await x.data()
  const optimizers = [
    (parameters) => new fj.optim.SGD(parameters, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
    (parameters) => new fj.optim.AdamW(parameters, { lr: 0.1, amsgrad: true }),
  ]
  const graphs = []
  for (const make of optimizers) {
    const w = variable([7, 3])
    const optimizer = make([w])
    graphs.push(
      await traced((input) => {
        const loss = fj.mean(fj.square(fj.dropout(fj.matmul(input, w), { p: 0.5, training: true })))
        optimizer.minimize(loss)
        return loss
      }, x),
    )
  }
  return graphs
}

function unaryImage(name, ...args) {
  return plain(name, () => {
    const x = float(2, 3, 7, 6)
    return withGrad(fj[name](x, ...args), [x])
  })
}

/** Programs as bytes, the sizes of the buffers they bind, the operations they hold, and what was left out. */
export async function allPrograms() {
  const programs = []
  const absent = []
  for (const { needs, build } of ENTRIES) {
    const missing = needs.filter((name) => !(name in fj))
    if (missing.length > 0) {
      absent.push(...missing)
      continue
    }
    const built = build()
    const { outputs, assignments = [] } = Array.isArray(built) ? { outputs: built } : built
    const values = outputs.map((tensor) => tensor.value)
    programs.push(await programOf(needs.join('+'), new Graph(values, assignments)))
  }
  for (const graph of await tracedGraphs()) programs.push(await programOf('training step', graph))
  return { programs, absent }
}

async function programOf(name, graph) {
  const { bytes, buffers, schedule } = (await lower(graph, { hoist: false, smallMaps: 'core' })).program
  return { name, bytes, buffers, ops: schedule.steps.map((step) => step.node.op.name) }
}
