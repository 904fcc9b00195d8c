// A network reads a story letter by letter, always guessing the next one; then it writes on its own.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fj from 'forja'
import { draw, finish, quick } from '../example.js'

fj.setSeed(1)
const text = readFileSync(join(import.meta.dirname, 'text.txt'), 'utf8')
const alphabet = [...new Set(text)].sort()
const codes = Int32Array.from(text, (letter) => alphabet.indexOf(letter))
const [BATCH, LENGTH, STEPS] = quick ? [8, 16, 40] : [32, 64, 400]
console.log(`${text.length.toLocaleString('en')} letters, ${alphabet.length} different ones\n`)

// Letter → 32 numbers → LSTM of 128 units → one score for every letter of the alphabet, at every step.
const model = fj.models.charLSTM({ vocabulary: alphabet.length, embeddingSize: 32, hiddenSize: 128 })
const optimizer = new fj.optim.Adam(model.parameters(), { lr: quick ? 0.01 : 0.003 })
const story = fj.tensor(codes)

// One native program: cut random pieces out of the story, guess each next letter, update.
const step = fj.compile(() => {
  const starts = fj.randint(0, codes.length - LENGTH, [BATCH, 1])
  const pieces = fj.gather(story, fj.add(starts, fj.arange(0, LENGTH + 1, 1, { dtype: 'int32' })), { axis: 0 })
  const read = fj.slice(pieces, { ends: [BATCH, LENGTH] })
  const next = fj.slice(pieces, { starts: [0, 1] })
  const scores = model.forward(read).reshape([BATCH * LENGTH, alphabet.length])
  const loss = fj.crossEntropy(scores, next.reshape([BATCH * LENGTH]))
  optimizer.minimize(loss)
  return { loss }
})

// The next letter is drawn with the network's own probabilities: the largest of score + Gumbel noise is such a draw.
// Scores divided by a temperature below 1 make it bolder with what it knows.
const write = fj.compile((letter: fj.Tensor, h: fj.Tensor, c: fj.Tensor, temperature: fj.Tensor) => {
  const { logits, state } = model.continue(letter, { h, c })
  const gumbel = fj.neg(fj.log(fj.neg(fj.log(fj.clamp(fj.rand([1, 1, alphabet.length]), { min: 1e-7 })))))
  return { letter: fj.add(fj.div(logits, temperature), gumbel).argMax({ axis: 2 }), state }
})

async function sample(letters: number, temperature = 0.5): Promise<string> {
  let letter: fj.Tensor = fj.tensor(new Int32Array([alphabet.indexOf('\n')]), { shape: [1, 1] })
  let state = { h: fj.zeros([1, 1, 128]), c: fj.zeros([1, 1, 128]) }
  let written = ''
  for (let i = 0; i < letters; i++) {
    ;({ letter, state } = await write(letter, state.h, state.c, fj.tensor(temperature)))
    written += alphabet[await letter.item()]
  }
  return written.trim()
}

const curve: [number, number][] = []
const pauses = [STEPS / 20, STEPS / 8, STEPS / 4, STEPS]
for (let i = 1; i <= STEPS; i++) {
  const { loss } = await step()
  if (i % (STEPS / 20) === 0) curve.push([i, (await loss.item()) / Math.LN2])
  if (pauses.includes(i)) {
    console.log(`--- after ${i} steps`)
    console.log(`${await sample(quick ? 20 : 200)}\n`)
  }
}
await draw(
  'char-lstm',
  fj.plot.lines({ title: 'Bits to tell the next letter', x: 'step', y: 'bits a letter', series: { network: curve } }),
)
finish(
  `${curve.at(-1)![1].toFixed(2)} bits a letter, ${Math.log2(alphabet.length).toFixed(2)} for one who knows nothing`,
)
