// Trains LeNet-5 on one batch on the device named by the first argument, in the precision of the second; prints the
// losses and the kernels' list.
import { fj } from './work.mjs'

const [device, precision = 'float32'] = process.argv.slice(2)
fj.setDefaultDevice(device)
fj.setSeed(3)
const model = fj.models.create('lenet5')
const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
const x = fj.randn([4, 1, 28, 28])
const labels = fj.tensor([3, 1, 4, 1], { dtype: 'int32' })
await x.data()
const step = fj.compile(
  (images, targets) => {
    const loss = fj.crossEntropy(model.forward(images), targets)
    optimizer.minimize(loss)
    return loss
  },
  { device, precision },
)
const losses = []
for (let i = 0; i < 8; i++) losses.push(await (await step(x, labels)).item())
console.log(JSON.stringify({ losses, explained: step.explain() }))
