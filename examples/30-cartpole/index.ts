// Reinforcement learning: nobody says which push was right, a pole that still stands says that some were.
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
fj.setThreads(1) // a network of 226 weights: a second thread would only be waited for
const EPISODES = quick ? 4 : 16 // played side by side
const STEPS = quick ? 60 : 500 // after which an episode ends even if the pole stands
const ROUNDS = quick ? 3 : 150
const DISCOUNT = 0.99

/** The cart's place in m and its speed; the pole's angle in radians, 0 upright, and its speed. */
type State = readonly [x: number, dx: number, angle: number, spin: number]

/** The environment: 1/50 s after a push of 10 N to the left (0) or to the right (1). */
function push([x, dx, angle, spin]: State, action: number): State {
  const [gravity, mass, pole, half, dt] = [9.8, 1.1, 0.1, 0.5, 0.02] // kg: cart and pole, pole; m: half the pole
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)]
  const thrust = ((action === 1 ? 10 : -10) + pole * half * spin ** 2 * sin) / mass
  const turn = (gravity * sin - cos * thrust) / (half * (4 / 3 - (pole * cos ** 2) / mass))
  const pull = thrust - (pole * half * turn * cos) / mass
  return [x + dt * dx, dx + dt * pull, angle + dt * spin, spin + dt * turn]
}
/** The cart has left its 4.8 m of rail, or the pole leans by more than 12°. */
const fallen = ([x, , angle]: State) => Math.abs(x) > 2.4 || Math.abs(angle) > (12 * Math.PI) / 180

// The agent: four numbers in, a score for each push out. It draws its push, so that it tries what it is not sure of.
const policy = new fj.nn.Sequential(new fj.nn.Linear(4, 32), new fj.nn.Tanh(), new fj.nn.Linear(32, 2))
const act = fj.compile((states: fj.Tensor) => {
  const gumbel = fj.neg(fj.log(fj.neg(fj.log(fj.clamp(fj.rand([EPISODES, 2]), { min: 1e-7 })))))
  return fj.argMax(fj.add(policy.forward(states), gumbel), { axis: 1 })
})

interface Episode {
  states: State[]
  actions: number[]
}

/** One step of all episodes is one call of the network. Each step that the pole stands is a reward of 1. */
async function play(): Promise<Episode[]> {
  const starts = (await fj.mul(fj.sub(fj.rand([EPISODES, 4]), 0.5), 0.1).array()) as unknown as State[]
  const now = [...starts]
  const episodes = starts.map((): Episode => ({ states: [], actions: [] }))
  for (let t = 0; t < STEPS && !now.every(fallen); t++) {
    const actions = await (await act(fj.tensor(Float32Array.from(now.flat()), { shape: [EPISODES, 4] }))).data()
    for (const [i, episode] of episodes.entries()) {
      if (fallen(now[i]!)) continue
      episode.states.push(now[i]!)
      episode.actions.push(actions[i]!)
      now[i] = push(now[i]!, actions[i]!)
    }
  }
  return episodes
}

// REINFORCE: ∇J = E[Σ_t A_t ∇ log π(a_t | s_t)]: what went better than usual shall become likelier.
const optimizer = new fj.optim.Adam(policy.parameters(), { lr: 0.01 })
const learn = fj.compile((states: fj.Tensor, actions: fj.Tensor, advantages: fj.Tensor) => {
  const surprise = fj.crossEntropy(policy.forward(states), actions, { reduction: 'none' }) // -log π(a | s)
  optimizer.minimize(fj.mean(fj.mul(surprise, advantages)))
  return null
})

/** What followed each push, G_t = 1 + γ G_{t+1}, compared with the mean of all of them. */
async function update(episodes: Episode[]): Promise<void> {
  const returns = episodes.flatMap(({ actions }) => {
    const rest = new Array<number>(actions.length)
    for (let t = actions.length - 1; t >= 0; t--) rest[t] = 1 + DISCOUNT * (rest[t + 1] ?? 0)
    return rest
  })
  const mean = returns.reduce((sum, g) => sum + g, 0) / returns.length
  const deviation = Math.sqrt(returns.reduce((sum, g) => sum + (g - mean) ** 2, 0) / returns.length)
  // Rounds differ in length, the program shall not: what is missing has advantage 0, and teaches nothing.
  const rows = EPISODES * STEPS
  const states = new Float32Array(4 * rows)
  states.set(episodes.flatMap((episode) => episode.states.flat()))
  const actions = new Int32Array(rows)
  actions.set(episodes.flatMap((episode) => episode.actions))
  const advantages = new Float32Array(rows)
  advantages.set(returns.map((g) => ((g - mean) / (deviation + 1e-8)) * (rows / returns.length)))
  await learn(fj.tensor(states, { shape: [rows, 4] }), fj.tensor(actions), fj.tensor(advantages))
}

const meanSteps = (episodes: Episode[]) => episodes.reduce((sum, { actions }) => sum + actions.length, 0) / EPISODES
const before = (await play())[0]!
const curve: [number, number][] = []
for (let round = 1; round <= ROUNDS; round++) {
  const episodes = await play()
  await update(episodes)
  curve.push([round * EPISODES, meanSteps(episodes)])
  if (round % (ROUNDS / 3) === 0 || round === 1) {
    console.log(
      `${String(round * EPISODES).padStart(5)} episodes: the pole stands ${curve.at(-1)![1].toFixed(0)} steps`,
    )
  }
}

// Solved: 475 of 500 steps or more, the mean of 100 episodes in a row.
const tests: Episode[] = []
while (tests.length < (quick ? 4 : 100)) tests.push(...(await play()))
const result = tests.reduce((sum, { actions }) => sum + actions.length, 0) / tests.length
await draw(
  'cartpole',
  fj.plot.lines({
    title: 'How long the pole stands',
    x: 'episodes played',
    y: `steps of at most ${STEPS}, mean of ${EPISODES} episodes`,
    series: { steps: curve },
    dots: false,
  }),
)
const angles = ({ states }: Episode) => states.map(([, , angle], t) => [t / 50, (angle * 180) / Math.PI] as const)
const series = { 'before learning': angles(before), 'after learning': angles(tests[0]!) }
await draw('cartpole-angle', fj.plot.lines({ title: 'One episode', x: 'time, s', y: 'angle, °', series, dots: false }))
finish(`${tests.length} episodes after learning: the pole stands ${result.toFixed(1)} of ${STEPS} steps`)
