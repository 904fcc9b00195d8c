// Convolution: the lecture's 5×5×3 example by conv2d and by im2col, its gradients, and what small filters see.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

/** '00102 10201 ..' as rows of digits. */
const digits = (text: string) => text.split(' ').map((row) => [...row].map(Number))

const x = fj.tensor([
  [
    digits('00102 10201 10220 20020 21220'),
    digits('21211 21201 02101 12222 01201'),
    digits('21120 10010 01000 10210 22111'),
  ],
])
// prettier-ignore
const filters = [
  [-1, 0, 1, 0, 0, 1, 1, -1, 1, /**/ -1, 0, 1, 1, -1, 1, 0, 1, 0, /**/ -1, 1, 1, 1, 1, 0, 0, -1, 0],
  [0, 1, -1, 0, -1, 0, 0, -1, 1, /**/ -1, 0, 0, 1, -1, 0, 1, -1, 0, /**/ -1, 1, -1, 0, -1, -1, 1, 0, 0],
]
const w = fj.reshape(fj.tensor(filters), [2, 3, 3, 3])
const b = fj.tensor([1, 0])
const window = { padding: 1, stride: 2 } as const

// (5 - 3 + 2·1)/2 + 1 = 3 pixels a side; 3·3·3·2 weights and 2 biases.
const y = fj.conv2d(x, w, b, window)
console.log('conv2d ', y.shape, JSON.stringify(await y.array()))

// The same as one product of matrices: every column is a patch, every row of W a filter.
const columns = fj.im2col(x, { kernelSize: 3, ...window })
const product = fj.add(fj.matmul(fj.reshape(w, [2, 27]), columns), fj.reshape(b, [2, 1]))
console.log('im2col ', columns.shape, '→', product.shape, JSON.stringify(await product.array()))
const apart = await fj.max(fj.abs(fj.sub(fj.reshape(product, y.shape), y))).item()
console.log('largest difference', apart)

// Gradients of a convolution are convolutions: dx = δ ∗ flip(w), dw = x ∗ δ (one channel, stride 1, no margin).
const image = fj.slice(x, { ends: [1, 1] })
const filter = fj.slice(w, { ends: [1, 1] })
const delta = fj.tensor([
  [
    [
      [1, 2, 0],
      [0, -1, 1],
      [2, 1, -1],
    ],
  ],
]) // prettier-ignore
const [dx, dw] = fj.grad([fj.conv2d(image, filter)], [image, filter], { gradOutputs: [delta] })
const dxByHand = fj.conv2d(delta, fj.flip(filter, { axes: [2, 3] }), null, { padding: 2 })
const dwByHand = fj.conv2d(image, delta)
const difference = fj.add(fj.max(fj.abs(fj.sub(dx!, dxByHand))), fj.max(fj.abs(fj.sub(dw!, dwByHand))))
const wrong = await difference.item()
console.log(`\ndx = δ ∗ flip(w): ${JSON.stringify(await fj.reshape(dx!, [5, 5]).array())}`)
console.log(`dw = x ∗ δ:       ${JSON.stringify(await fj.reshape(dw!, [3, 3]).array())}`)
console.log('difference from fj.grad:', wrong)

// What small filters see. Margins repeat the edge, so that the frame is no edge.
const KERNELS = {
  'edges →': [-1, 0, 1, -2, 0, 2, -1, 0, 1],
  'edges ↓': [-1, -2, -1, 0, 0, 0, 1, 2, 1],
  outline: [-1, -1, -1, -1, 8, -1, -1, -1, -1],
  blur: [1, 2, 1, 2, 4, 2, 1, 2, 1].map((v) => v / 16),
  sharpen: [0, -1, 0, -1, 5, -1, 0, -1, 0],
  emboss: [-2, -1, 0, -1, 1, 1, 0, 1, 2],
}
const { train } = await fj.data.syntheticDigits({ train: 8, test: 0, seed: 4 })
const size = quick ? 28 : 56
const stored = fj.tensor(train.get(3, { raw: true }).x, { shape: [1, 1, 28, 28] })
const picture = fj.interpolate(fj.cast(stored, 'float32'), { size, mode: 'bilinear' })
const kernels = fj.reshape(fj.tensor(Object.values(KERNELS)), [6, 1, 3, 3])
const seen = fj.conv2d(picture, kernels, null, { padding: 1, paddingMode: 'replicate' })
const toRows = async (t: fj.Tensor) => (await t.array()) as number[][][]
const [original] = await toRows(fj.reshape(picture, [1, size, size]))
await draw(
  'convolution',
  fj.plot.images({
    title: 'A digit through six filters of 3 × 3',
    images: [original!, ...(await toRows(fj.reshape(seen, [6, size, size])))],
    labels: ['original', ...Object.keys(KERNELS)],
    columns: 4,
    scale: quick ? 4 : 3,
  }),
)
finish(`Both ways give the same maps, and both gradients are convolutions: differences ${apart} and ${wrong}`)
