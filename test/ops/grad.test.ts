/** grad and gradcheck: what they refuse, and what a check takes in. */
import { expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

const x = fj.tensor([1, 2])
const y = fj.mul(x, x)

it.each<[string, object, string, RegExp]>([
  ['a number', { gradOutputs: [1] }, 'ERR_ARGUMENT', /gradOutputs\[0\] must be a tensor, got 1/],
  ['no array', { gradOutputs: fj.ones([2]) }, 'ERR_ARGUMENT', /gradOutputs must be an array, got Tensor/],
  [
    'too many',
    { gradOutputs: [fj.ones([2]), fj.ones([2])] },
    'ERR_ARGUMENT',
    /2 gradOutputs, expected one for each of 1/,
  ],
  ['another shape', { gradOutputs: [fj.ones([3])] }, 'ERR_SHAPE', /shape \(3,\), the output \(2,\)/],
  ['another dtype', { gradOutputs: [fj.ones([2], { dtype: 'int32' })] }, 'ERR_DTYPE', /int32, the output float32/],
  ['another name', { gradOutput: [fj.ones([2])] }, 'ERR_ARGUMENT', /unknown option 'gradOutput'; expected gradOutputs/],
])('grad refuses %s in place of vectors', (_name, options, code, message) => {
  const refused = () => fj.grad(y, [x], options)
  expect(refused).toThrow(expect.objectContaining({ code }))
  expect(refused).toThrow(message)
})

it('gradcheck refuses what is no function of tensors', async () => {
  const wrong = [5, () => 5, () => [x]] as unknown as ((x: fj.Tensor) => fj.Tensor)[]
  for (const fn of wrong) {
    await expect(fj.gradcheck(fn, [x])).rejects.toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  }
  const missing = fj.gradcheck((a) => fj.mul(a, fj.placeholder([2], { name: 'p' })), [x])
  await expect(missing).rejects.toThrow(expect.objectContaining({ code: 'ERR_FEED_MISSING' }))
})

it('gradcheck takes variables with the values that they have', async () => {
  const w = fj.variable(fj.tensor([3, 4]))
  await fj.gradcheck((a) => fj.div(a, w), [x])
  // Its gradient is that of a², in place of a³: right only where w is 0.
  const wrong = (a: fj.Tensor) => fj.mul(w, fj.mul(fj.detach(a), fj.square(a)))
  await expect(fj.gradcheck(wrong, [x])).rejects.toThrow(/input 0 \(2,\), element 0: analytic/)
})
