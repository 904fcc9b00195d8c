/**
 * The figures that the lectures print, reproduced: softmaxes, neurons, losses, convolutions, graphs. Where a slide
 * prints another number than comes out, the comment says so.
 */
import { describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { expectClose } from '../helpers/compare.js'

const numbers = async (t: fj.Tensor) => [...(await t.data())]
/** Rounded as a slide prints them. */
const printed = async (t: fj.Tensor, digits: number) => (await numbers(t)).map((v) => Number(v.toFixed(digits)))
/** '00102 10201 ..' as rows of digits. */
const digits = (text: string) => text.split(' ').map((row) => [...row].map(Number))

describe('convolution', () => {
  it('of two signals, in full', async () => {
    const x = fj.tensor([1, 1, -1, 1, 1, 2, 1, -1, 1, 2, -1, -1, 2])
    const y = fj.tensor([1, -1, 1])
    // A layer correlates; a convolution in the sense of signals reads the filter backwards, and in full also where
    // the two overlap by one element only.
    const signal = fj.reshape(x, [1, 1, 13])
    const filter = fj.reshape(fj.flip(y), [1, 1, 3])
    const full = fj.conv1d(signal, filter, null, { padding: 2 })
    expect(full.shape).toEqual([1, 1, 13 + 3 - 1])
    expect(await numbers(full)).toEqual([1, 0, -1, 3, -1, 2, 0, 0, 3, 0, -2, 2, 2, -3, 2])
  })

  describe('of a 5×5×3 image, margin 1, stride 2, with two filters of 3×3×3', () => {
    const x = fj.tensor([
      [
        digits('00102 10201 10220 20020 21220'),
        digits('21211 21201 02101 12222 01201'),
        digits('21120 10010 01000 10210 22111'),
      ],
    ])
    const w = fj.tensor([
      [
        [
          [-1, 0, 1],
          [0, 0, 1],
          [1, -1, 1],
        ],
        [
          [-1, 0, 1],
          [1, -1, 1],
          [0, 1, 0],
        ],
        [
          [-1, 1, 1],
          [1, 1, 0],
          [0, -1, 0],
        ],
      ],
      [
        [
          [0, 1, -1],
          [0, -1, 0],
          [0, -1, 1],
        ],
        [
          [-1, 0, 0],
          [1, -1, 0],
          [1, -1, 0],
        ],
        [
          [-1, 1, -1],
          [0, -1, -1],
          [1, 0, 0],
        ],
      ],
    ]) // prettier-ignore
    const b = fj.tensor([1, 0])
    const expected = [
      [
        [2, 3, 3],
        [3, 7, 3],
        [8, 10, -3],
      ],
      [
        [-8, -8, -3],
        [-3, 1, 0],
        [-3, -8, -5],
      ],
    ] // prettier-ignore

    it('has maps of (5 - 3 + 2·1)/2 + 1 = 3 pixels and 3·3·3·2 weights and 2 biases', () => {
      const layer = new fj.nn.Conv2d(3, 2, 3, { padding: 1, stride: 2 })
      expect(layer.forward(x).shape).toEqual([1, 2, 3, 3])
      expect(layer.parameters().reduce((total, p) => total + p.size, 0)).toBe(3 * 3 * 3 * 2 + 2)
    })

    it.each(['naive', 'im2col', 'implicit'])('by conv2d, variant %s', async (conv2d) => {
      const run = fj.compile((x: fj.Tensor) => fj.conv2d(x, w, b, { padding: 1, stride: 2 }), {
        device: 'cpu',
        algorithms: { conv2d },
      })
      expect(await (await run(x)).array()).toEqual([expected])
      run.dispose()
    })

    it('by im2col and a product of matrices', async () => {
      const columns = fj.im2col(x, { kernelSize: 3, padding: 1, stride: 2 })
      const maps = fj.add(fj.matmul(fj.reshape(w, [2, 27]), columns), fj.reshape(b, [2, 1]))
      expect(await fj.reshape(maps, [2, 3, 3]).array()).toEqual(expected)
    })
  })
})

describe('softmax', () => {
  it('of ten outputs', async () => {
    const z = fj.tensor([-0.05, 0.43, 0.92, 0.92, 0.28, -0.69, 0.17, 2.34, -0.81, 0.63])
    const probabilities = [0.041, 0.0662, 0.1081, 0.1081, 0.057, 0.0216, 0.051, 0.4471, 0.0192, 0.0809]
    expect(await printed(fj.softmax(z), 4)).toEqual(probabilities)
  })

  it('of three outputs, step by step', async () => {
    const z = fj.tensor([2.0, 1.0, 0.1])
    // e²·⁰ + e¹·⁰ + e⁰·¹ = 7.39 + 2.72 + 1.11; the exact sum is 11.2125.
    expect(await printed(fj.exp(z), 2)).toEqual([7.39, 2.72, 1.11])
    expect(await printed(fj.sum(fj.exp(z)), 2)).toEqual([11.21])
    expect(await printed(fj.softmax(z), 3)).toEqual([0.659, 0.242, 0.099])
  })
})

describe('a neuron with ReLU', () => {
  const neuron = (x: number[], w: number[], b: number) =>
    fj.relu(fj.add(fj.sum(fj.mul(fj.tensor(x), fj.tensor(w))), b)).item()

  it('is silent where the weighted sum is negative', async () => {
    // 1·.5 + 4·(-.8) + 2·.4 + .1 = -1.8
    expect(await neuron([1, 4, 2], [0.5, -0.8, 0.4], 0.1)).toBe(0)
  })

  it('hands a positive sum on', async () => {
    // 5·(-.2) + 2·.4 + 3·.7 - .2 = 1.7
    expect(await neuron([5, 2, 3], [-0.2, 0.4, 0.7], -0.2)).toBeCloseTo(1.7, 6)
  })
})

describe('losses', () => {
  it.each([
    [[0.99, 0.01], 4.61],
    [[0.8, 0.2], 1.61], // the slide prints 1.60
    [[0.6, 0.4], 0.92],
    [[0.1, 0.9], 0.11], // the slide prints .10
    [[0.01, 0.99], 0.01],
  ])('cross entropy of y = [0 1] and %j is %d', async (output, loss) => {
    // -Σ y log ŷ of probabilities; crossEntropy of their logarithms says the same, since these are logits of them.
    const y = fj.tensor([0, 1])
    const probabilities = fj.tensor(output)
    expect(await printed(fj.neg(fj.sum(fj.mul(y, fj.log(probabilities)))), 2)).toEqual([loss])
    const label = fj.tensor(1, { dtype: 'int32' })
    expect(await printed(fj.crossEntropy(fj.log(probabilities), label), 2)).toEqual([loss])
  })

  it('half the sum of squares of [0 0 1 0] - [.2 .4 .1 .3] is .55', async () => {
    const [target, output] = [fj.tensor([0, 0, 1, 0]), fj.tensor([0.2, 0.4, 0.1, 0.3])]
    // (.04 + .16 + .81 + .09) / 2
    expect(await fj.mul(0.5, fj.sum(fj.square(fj.sub(target, output)))).item()).toBeCloseTo(0.55, 6)
    expect(await fj.mul(0.5, fj.mseLoss(output, target, { reduction: 'sum' })).item()).toBeCloseTo(0.55, 6)
  })
})

describe('derivatives', () => {
  it("of f(x) = x² - 2 at -1.5, 0 and 1.5: f' = 2x", async () => {
    const x = fj.tensor([-1.5, 0, 1.5])
    const f = fj.sub(fj.square(x), 2)
    const [slope] = fj.grad(fj.sum(f), [x])
    expect(await numbers(f)).toEqual([0.25, -2, 0.25])
    expect(await numbers(slope!)).toEqual([-3, 0, 3])
  })

  it("of C by b₁ in a chain of four neurons: σ'(z₁)w₂σ'(z₂)w₃σ'(z₃)w₄σ'(z₄) ∂C/∂a₄", async () => {
    const weights = [0.8, -1.2, 0.6, 1.5]
    const b = [0.1, -0.3, 0.2, 0.4].map((v) => fj.tensor(v))
    const z: fj.Tensor[] = []
    let a = fj.tensor(0.7)
    for (const [i, w] of weights.entries()) {
      z.push(fj.add(fj.mul(a, w), b[i]!))
      a = fj.sigmoid(z[i]!)
    }
    const cost = fj.mul(0.5, fj.square(fj.sub(a, 1)))
    const [byRule] = fj.grad(cost, [b[0]!])
    const slope = async (v: fj.Tensor) => {
      const s = 1 / (1 + Math.exp(-(await v.item())))
      return s * (1 - s)
    }
    let byHand = (await a.item()) - 1
    for (let i = 3; i > 0; i--) byHand *= (await slope(z[i]!)) * weights[i]!
    byHand *= await slope(z[0]!)
    expect(await byRule!.item()).toBeCloseTo(byHand, 7)
    // Each σ' is at most ¼: the gradient has all but vanished.
    expect(Math.abs(byHand)).toBeLessThan(0.25 ** 4 * 0.8 * 1.2 * 0.6 * 1.5)
  })

  it('back-propagation: the four equations, BP1 to BP4, in a network 3-4-2 of sigmoids', async () => {
    fj.setSeed(1)
    const [x, target] = [fj.randn([3]), fj.tensor([0, 1])]
    const [w1, w2, b1, b2] = [fj.randn([4, 3]), fj.randn([2, 4]), fj.randn([4]), fj.randn([2])]
    await fj.evaluate([x, w1, w2, b1, b2]) // drawn once
    const z1 = fj.add(fj.matmul(w1, x), b1)
    const a1 = fj.sigmoid(z1)
    const z2 = fj.add(fj.matmul(w2, a1), b2)
    const a2 = fj.sigmoid(z2)
    const cost = fj.mul(0.5, fj.sum(fj.square(fj.sub(a2, target)))) // ∇_a C = a - t
    const [dW1, dW2, db1, db2] = fj.grad(cost, [w1, w2, b1, b2])
    const slope = (a: fj.Tensor) => fj.mul(a, fj.sub(1, a)) // σ'(z) of a = σ(z)
    const outer = (delta: fj.Tensor, a: fj.Tensor) => fj.mul(delta.unsqueeze({ axis: 1 }), a.unsqueeze({ axis: 0 }))
    const delta2 = fj.mul(fj.sub(a2, target), slope(a2)) // BP1: δᴸ = ∇_a C ⊙ σ'(zᴸ)
    const delta1 = fj.mul(fj.matmul(w2.transpose(), delta2), slope(a1)) // BP2: δˡ = (wˡ⁺¹)ᵀ δˡ⁺¹ ⊙ σ'(zˡ)
    const same = async (what: string, byRule: fj.Tensor, byHand: fj.Tensor) =>
      expectClose(await byRule.data(), await byHand.data(), what, { rtol: 1e-6 })
    await same('BP3: ∂C/∂b² = δ²', db2!, delta2)
    await same('BP3: ∂C/∂b¹ = δ¹', db1!, delta1)
    await same('BP4: ∂C/∂w²_jk = a¹_k δ²_j', dW2!, outer(delta2, a1))
    await same('BP4: ∂C/∂w¹_jk = x_k δ¹_j', dW1!, outer(delta1, x))
  })

  it('of a convolution: dx = δ ∗ flip(w), dw = x ∗ δ', async () => {
    const x = fj.tensor([digits('12011 03120 21100 10231 02112')].map((image) => [image]))
    const w = fj.tensor([
      [
        [
          [1, -1, 2],
          [0, 1, -2],
          [1, 0, 1],
        ],
      ],
    ]) // prettier-ignore
    const delta = fj.tensor([
      [
        [
          [1, 2, 0],
          [0, -1, 1],
          [2, 1, -1],
        ],
      ],
    ]) // prettier-ignore
    const [dx, dw] = fj.grad([fj.conv2d(x, w)], [x, w], { gradOutputs: [delta] })
    const flipped = fj.flip(w, { axes: [2, 3] })
    expect(await dx!.array()).toEqual(await fj.conv2d(delta, flipped, null, { padding: 2 }).array())
    expect(await dw!.array()).toEqual(await fj.conv2d(x, delta).array())
  })
})

describe('graph and session', () => {
  it('a = 15, b = 5: c = a·b, d = a + b, e = c / d = 3.75', async () => {
    const a = fj.placeholder([], { name: 'a' })
    const b = fj.placeholder([], { name: 'b' })
    const c = fj.mul(a, b)
    const d = fj.add(a, b)
    const e = fj.div(c, d)
    using session = new fj.Session()
    const feed = new Map([
      [a, 15],
      [b, 5],
    ])
    expect(await (await session.run(e, { feed })).item()).toBe(3.75)
  })
})

describe('a linear network of two layers', () => {
  it('is one linear neuron', async () => {
    // Hidden: h₁ = w₁₁x₁ + w₁₂x₂ + b₁, h₂ = w₂₁x₁ + w₂₂x₂ + b₂; output: y = w₃₁h₁ + w₃₂h₂ + b₃.
    const [w11, w12, w21, w22, w31, w32] = [2, -1, 0.5, 3, 4, -2] as const
    const [b1, b2, b3] = [1, -0.5, 0.25] as const
    const x = fj.tensor([
      [1, 2],
      [-3, 0.5],
      [0, 0],
    ]) // prettier-ignore
    const hidden = fj.linear(
      x,
      fj.tensor([
        [w11, w12],
        [w21, w22],
      ]),
      fj.tensor([b1, b2]),
    ) // prettier-ignore
    const output = fj.linear(hidden, fj.tensor([[w31, w32]]), fj.tensor([b3]))
    const weights = [w31 * w11 + w32 * w21, w31 * w12 + w32 * w22]
    const bias = w31 * b1 + w32 * b2 + b3
    const neuron = fj.linear(x, fj.tensor([weights]), fj.tensor([bias]))
    expect(await numbers(output)).toEqual(await numbers(neuron))
    expect([weights, bias]).toEqual([[7, -10], 5.25])
  })
})

describe('layers', () => {
  it('convolution: W₂ = (W₁ - F + 2P)/S + 1, D₂ = K, with F·F·D₁·K weights and K biases', () => {
    for (const [w1, f, p, s] of [
      [28, 5, 2, 1],
      [32, 5, 0, 1],
      [227, 11, 0, 4],
      [7, 3, 1, 2],
    ] as const) {
      const layer = new fj.nn.Conv2d(3, 8, f, { padding: p, stride: s })
      const w2 = (w1 - f + 2 * p) / s + 1
      expect(layer.forward(fj.zeros([1, 3, w1, w1])).shape).toEqual([1, 8, w2, w2])
      expect(layer.weight.size).toBe(f * f * 3 * 8)
      expect(layer.bias!.size).toBe(8)
    }
  })

  it('margins: ignored, zero, replicated', async () => {
    const x = fj.tensor([1, 2, 3], { shape: [1, 1, 1, 3] })
    const sum = fj.ones([1, 1, 1, 3])
    expect(await numbers(fj.conv2d(x, sum, null, { padding: 'valid' }))).toEqual([6])
    expect(await numbers(fj.conv2d(x, sum, null, { padding: 'same' }))).toEqual([3, 6, 5])
    expect(await numbers(fj.conv2d(x, sum, null, { padding: 'same', paddingMode: 'replicate' }))).toEqual([4, 6, 8])
  })

  it('pooling: W₂ = (W₁ - F)/S + 1, no parameters', () => {
    for (const [w1, f, s] of [
      [4, 2, 2],
      [13, 3, 2],
      [55, 3, 2],
    ] as const) {
      const w2 = (w1 - f) / s + 1
      for (const Pool of [fj.nn.MaxPool2d, fj.nn.AvgPool2d]) {
        const layer = new Pool(f, { stride: s })
        expect(layer.forward(fj.zeros([1, 2, w1, w1])).shape).toEqual([1, 2, w2, w2])
        expect(layer.parameters()).toEqual([])
      }
    }
  })

  it('batch normalisation: â = (a - μ)/√(σ² + ε), γâ + β', async () => {
    const a = fj.tensor([[1], [2], [3], [6]])
    const [gamma, beta] = [fj.tensor([2]), fj.tensor([0.5])]
    const y = fj.batchNorm(a, { gamma, beta, training: true, eps: 1e-5 })
    // μ = 3, σ² = (4 + 1 + 0 + 9)/4 = 3.5
    const expected = [1, 2, 3, 6].map((v) => (2 * (v - 3)) / Math.sqrt(3.5 + 1e-5) + 0.5)
    expectClose(await y.data(), expected, 'γâ + β')
  })

  it('residual: y = F(x) + x', async () => {
    const x = fj.tensor([[1, -2]])
    const F = new fj.nn.Linear(2, 2, { weightInit: fj.nn.init.zeros(), biasInit: fj.nn.init.zeros() })
    expect(await numbers(fj.add(F.forward(x), x))).toEqual([1, -2])
  })
})

describe('initialisation', () => {
  const moments = async (t: fj.Tensor) => [
    await fj.mean(t).item(),
    Math.sqrt(await fj.variance(t, { correction: 0 }).item()),
  ]

  it.each([
    ['N(0, 0.05²)', fj.nn.init.normal({ std: 0.05 }), 0.05],
    ['Xavier: N(0, gain·√(2/(n_in + n_out)))', fj.nn.init.xavierNormal({ gain: 2 }), 2 * Math.sqrt(2 / (300 + 500))],
    ['MSRA: N(0, √(2/n_in))', fj.nn.init.kaimingNormal(), Math.sqrt(2 / 300)],
  ] as const)('%s', async (_name, initialize, std) => {
    fj.setSeed(1)
    const [mean, deviation] = await moments(initialize([500, 300]))
    // Of 150,000 draws: four standard errors.
    expect(Math.abs(mean!)).toBeLessThan((4 * std) / Math.sqrt(150_000))
    expect(Math.abs(deviation! / std - 1)).toBeLessThan(4 / Math.sqrt(300_000))
  })

  it('bias 0', async () => {
    expect(await numbers(fj.nn.init.zeros()([3]))).toEqual([0, 0, 0])
  })
})

describe('optimizers, each by its printed formula', () => {
  // Two steps down C(θ) = θ² from θ = 1 at rate .1: ∇C = 2θ.
  const descend = async (make: (p: fj.Variable) => fj.optim.Optimizer) => {
    const theta = fj.variable(fj.tensor(1))
    const optimizer = make(theta)
    const step = fj.compile(() => {
      optimizer.minimize(fj.square(theta))
      return null
    })
    await step()
    await step()
    step.dispose()
    return await theta.item()
  }
  /** The same by hand: `update(θ, g, state)` gives the new θ. */
  const byHand = (update: (theta: number, g: number, state: number[]) => number) => {
    const state: number[] = [0, 0, 0]
    let theta = 1
    for (let i = 0; i < 2; i++) theta = update(theta, 2 * theta, state)
    return theta
  }

  const CASES: Record<string, [(p: fj.Variable) => fj.optim.Optimizer, Parameters<typeof byHand>[0]]> = {
    'gradient descent: θ = θ - α∇C': [(p) => new fj.optim.SGD([p], { lr: 0.1 }), (theta, g) => theta - 0.1 * g],
    // PyTorch keeps v = γv + ∇C and multiplies by α afterwards: the same while α stays.
    'momentum: v = γv + α∇C, θ = θ - v': [
      (p) => new fj.optim.SGD([p], { lr: 0.1, momentum: 0.9 }),
      (theta, g, s) => theta - (s[0] = 0.9 * s[0]! + 0.1 * g),
    ],
    // Looking ahead from θ - γv, written for the point that was looked ahead to.
    'Nesterov: θ = θ - (γv + α∇C), v as above': [
      (p) => new fj.optim.SGD([p], { lr: 0.1, momentum: 0.9, nesterov: true }),
      (theta, g, s) => {
        s[0] = 0.9 * s[0]! + 0.1 * g
        return theta - (0.9 * s[0] + 0.1 * g)
      },
    ],
    'AdaGrad: G = G + g², θ = θ - α/√(G + ε) g': [
      (p) => new fj.optim.Adagrad([p], { lr: 0.1 }),
      (theta, g, s) => theta - (0.1 * g) / Math.sqrt((s[0] = s[0]! + g * g)),
    ],
    'RMSprop: E[g²] = .9E[g²] + .1g², θ = θ - α/√(E[g²] + ε) g': [
      (p) => new fj.optim.RMSprop([p], { lr: 0.1, alpha: 0.9 }),
      (theta, g, s) => theta - (0.1 * g) / Math.sqrt((s[0] = 0.9 * s[0]! + 0.1 * g * g)),
    ],
    'AdaDelta: Δθ = -RMS[Δθ]/RMS[g] g': [
      (p) => new fj.optim.Adadelta([p], { lr: 1, rho: 0.9, eps: 1e-6 }),
      (theta, g, s) => {
        s[0] = 0.9 * s[0]! + 0.1 * g * g
        const step = (Math.sqrt(s[1]! + 1e-6) / Math.sqrt(s[0] + 1e-6)) * g
        s[1] = 0.9 * s[1]! + 0.1 * step * step
        return theta - step
      },
    ],
    'Adam: m̂ = m/(1 - β₁ᵗ), v̂ = v/(1 - β₂ᵗ), θ = θ - α m̂/(√v̂ + ε)': [
      (p) => new fj.optim.Adam([p], { lr: 0.1 }),
      (theta, g, s) => {
        const t = (s[2] = s[2]! + 1)
        s[0] = 0.9 * s[0]! + 0.1 * g
        s[1] = 0.999 * s[1]! + 0.001 * g * g
        return theta - (0.1 * (s[0] / (1 - 0.9 ** t))) / (Math.sqrt(s[1] / (1 - 0.999 ** t)) + 1e-8)
      },
    ],
  }
  it.each(Object.keys(CASES))('%s', async (name) => {
    const [make, update] = CASES[name]!
    expect(await descend(make)).toBeCloseTo(byHand(update), 6)
  })

  it('L1 adds λΣ|w|, L2 λΣw²', async () => {
    const w = fj.tensor([1, -2, 3])
    expect(await fj.l1Penalty([w], 0.1).item()).toBeCloseTo(0.6, 6)
    expect(await fj.l2Penalty([w], 0.1).item()).toBeCloseTo(1.4, 6)
  })
})

// Told by the lectures and not run again, since neither data set is at hand:
//   ILSVRC-2010 errors, top 1 and top 5 in %: sparse coding 47.1 28.2, SIFT + FV 45.7 25.7, CNN 37.5 17.0.
//   Word errors by depth in %, with pre-training by a deep belief network and without: 1×2k 24.2 24.3, 2×2k 20.4 22.2,
//   3×2k 18.4 20.0, 4×2k 17.8 18.7, 5×2k 17.2 18.2, 7×2k 17.1 17.4. The slide repeats 18.2 and 17.4 beside its wide
//   single layers, where the paper has other numbers.
