// Computes twice on the default device; prints the sums, or why there are none.
import { fj } from './work.mjs'

try {
  const sums = [
    await fj.add(fj.tensor(1), 1).item(),
    await fj
      .compile((x) => fj.add(x, 1))(fj.tensor(2))
      .then((t) => t.item()),
  ]
  console.log(JSON.stringify({ sums }))
} catch ({ code, message }) {
  console.log(JSON.stringify({ code, message }))
}
