// The lecture's table of tools, with a row for the one you are looking at.
import { readFileSync } from 'node:fs'
import * as fj from 'forja'
import { finish } from '../example.js'

const { version, license } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const [device] = await fj.devices()

const COLUMNS = ['Tool', 'Creator', 'Platform', 'Written in', 'Interface'] as const
const TOOLS: readonly (readonly [string, string, string, string, string])[] = [
  [
    'MXNet',
    'DMLC, then Apache',
    'Linux, macOS, Windows, mobile',
    'C++',
    'C++, Python, Julia, MATLAB, Go, R, Scala, Perl',
  ],
  ['SINGA', 'Apache', 'Linux, macOS, Windows', 'C++', 'Python, C++, Java'],
  ['Caffe', 'Berkeley (BVLC)', 'Linux, macOS, Windows', 'C++', 'C++, Python, MATLAB'],
  ['Deeplearning4j', 'Skymind', 'Linux, macOS, Windows, Android', 'Java, C++', 'Java, Scala, Clojure, Kotlin'],
  ['DAAL', 'Intel', 'Linux, macOS, Windows', 'C++', 'C++, Java, Python'],
  ['Keras', 'François Chollet', 'Linux, macOS, Windows', 'Python', 'Python, R'],
  ['PyTorch', 'Facebook AI Research', 'Linux, macOS, Windows', 'Python, C++, CUDA', 'Python, C++'],
  [
    'TensorFlow',
    'Google Brain',
    'Linux, macOS, Windows, mobile',
    'C++, Python, CUDA',
    'Python, C, C++, Java, Go, JavaScript',
  ],
  ['Theano', 'Université de Montréal', 'Linux, macOS, Windows', 'Python', 'Python'],
  ['Torch', 'Collobert, Kavukcuoglu, Farabet', 'Linux, macOS, mobile', 'C, Lua', 'Lua, C'],
  ['forja', 'the forja authors', 'Linux; Node.js ≥ 20.19', 'TypeScript, C++, CUDA', 'TypeScript, JavaScript'],
]

const widths = COLUMNS.map((title, c) => Math.max(title.length, ...TOOLS.map((row) => row[c]!.length)))
const line = (cells: readonly string[]) =>
  cells
    .map((cell, c) => cell.padEnd(widths[c]!))
    .join('  ')
    .trimEnd()
console.log(line(COLUMNS))
console.log(widths.map((width) => '─'.repeat(width)).join('──'))
for (const row of TOOLS) console.log(line(row))

// What the row does not say: the same few lines as in any of them.
fj.setSeed(1)
const { train, test } = await fj.data.syntheticDigits({ train: 500, test: 200, seed: 1 })
const model = new fj.nn.Sequential(new fj.nn.Flatten(), new fj.nn.Linear(784, 10))
const optimizer = new fj.optim.Adam(model.parameters(), { lr: 0.01 })
const options = { optimizer, epochs: 5, validation: test, metrics: ['accuracy'] as const, seed: 1, verbose: 0 as const }
const { valAccuracy } = await fj.fit(model, train, options)
console.log(
  `\nSoftmax regression, 500 drawn digits, 5 epochs: test accuracy ${(100 * valAccuracy.at(-1)!).toFixed(1)} %`,
)
const where = device!.kind === 'cpu' ? `${device!.name}, ${device!.threads} threads, ${device!.isa}` : device!.name
finish(`forja ${version} (${license}) on ${where}`)
