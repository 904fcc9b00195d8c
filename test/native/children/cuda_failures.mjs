// What goes wrong on the device named by the first argument, planted by the environment. The second says what is run.
import { fj } from './work.mjs'

const [device, what] = process.argv.slice(2)
const outcome = (call) =>
  call.then(
    async (tensor) => await tensor.item(),
    ({ code, message }) => ({ code, message }),
  )
const answer = { calls, lost, graphs, guarded, memory, profiled, queue, refused, unknown }[what]
console.log(JSON.stringify(await answer()))

/** Six calls at once, one more, and then the CPU. */
async function lost() {
  const double = fj.compile((x) => fj.mul(x, 2), { device })
  const calls = [1, 2, 3, 4, 5, 6].map((x) => outcome(double(fj.tensor(x))))
  const together = await Promise.all(calls)
  const later = await outcome(double(fj.tensor(7)))
  const cpu = await outcome(fj.compile((x) => fj.mul(x, 2), { device: 'cpu' })(fj.tensor(8)))
  return { together, later, cpu }
}

/** Steps of a variable, its value, another program, and then the CPU. Opening the device may be what fails. */
async function calls() {
  const total = fj.variable(fj.zeros([2]))
  let step
  const add = async (x) => {
    step ??= fj.compile(
      (y) => {
        total.assign(fj.add(total, y))
        return fj.sum(y)
      },
      { device },
    )
    return await step(fj.tensor([x, x]))
  }
  const double = async (on) => await fj.compile((x) => fj.mul(x, 2), { device: on })(fj.tensor(7))
  const results = []
  for (const x of [1, 2, 3]) results.push(await outcome(add(x)))
  results.push(await outcome(total.data().then(([first]) => fj.tensor(first))))
  results.push(await outcome(double(device)))
  total.dispose()
  step?.dispose()
  return { results, cpu: await outcome(double('cpu')) }
}

/** Three calls, one after the other. */
async function refused() {
  const double = fj.compile((x) => fj.mul(x, 2), { device })
  const results = []
  for (const x of [1, 2, 3]) results.push(await outcome(double(fj.tensor(x))))
  return results
}

/** A program for the device, which does not open. */
async function unknown() {
  return await outcome((async () => await fj.compile((x) => fj.mul(x, 2), { device })(fj.tensor(1)))())
}

/** Two programs, three runs each. */
async function graphs() {
  const results = []
  const programs = [2, 3].map((factor) => fj.compile((x) => fj.mul(x, factor), { device }))
  for (const x of [1, 2, 3]) for (const program of programs) results.push(await outcome(program(fj.tensor(x))))
  return { results, explained: programs.map((program) => program.explain()) }
}

/** Calls of a program that commits how often it ran, with labels of which some are no class. */
async function guarded() {
  const count = fj.variable(fj.zeros([]))
  const step = fj.compile(
    (y) => {
      count.assign(fj.add(count, 1))
      return fj.crossEntropy(fj.zeros([1, 4]), y)
    },
    { device },
  )
  const results = []
  for (const label of [1, 2, 9, 3, 9, 0]) results.push(await outcome(step(fj.tensor([label], { dtype: 'int32' }))))
  return { results, count: await count.item(), explained: step.explain() }
}

/** A program that is too large, beside one that goes on. */
async function memory() {
  const count = fj.variable(fj.zeros([]))
  const small = fj.compile(
    () => {
      count.assign(fj.add(count, 1))
      return fj.mul(count, 1)
    },
    { device },
  )
  const results = [await outcome(small()), await outcome(small())]
  // exp is read twice, so that it must lie in memory
  const large = fj.compile(
    (x) => {
      const wide = fj.exp(fj.broadcastTo(x, [1000, 300, 100]))
      return fj.sum(fj.matmul(wide, fj.transpose(wide, [0, 2, 1])))
    },
    { device },
  )
  const refused = await outcome(large(fj.zeros([1, 1, 100])))
  results.push(await outcome(small()), await outcome(small()))
  return { results, refused }
}

/** Milliseconds of the steps of two programs, of which one commits something. */
async function profiled() {
  const w = fj.variable(fj.zeros([4]))
  const programs = [
    fj.compile((x) => fj.relu(fj.add(x, 1)), { device }),
    fj.compile(
      (x) => {
        w.assign(fj.add(w, 1))
        return fj.softmax(fj.matmul(x, x))
      },
      { device },
    ),
  ]
  const times = []
  for (const program of programs) {
    const x = fj.ones([4, 4])
    await program(x)
    times.push((await program.profile(x)).map((step) => step.milliseconds))
  }
  return times
}

/** Eight calls at once of a program whose graph is recorded. */
async function queue() {
  const double = fj.compile((x) => fj.mul(x, 2), { device })
  for (const x of [1, 2]) await double(fj.tensor(x))
  return await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((x) => outcome(double(fj.tensor(x)))))
}
