import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = mkdtempSync(join(tmpdir(), 'forja-cli-'))
const main = join(dist, 'dist/cli/main.js')
/** Nothing is downloaded, and no data of this machine is used. */
const env = { ...process.env, FORJA_OFFLINE: '1', FORJA_DATA_DIR: dist, XDG_CACHE_HOME: dist, NO_COLOR: '1' }

// The command line is tested as it is shipped: compiled, beside a package.json, with the addon of this checkout.
beforeAll(() => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', join(dist, 'dist')], { cwd: root })
  for (const name of ['package.json', 'node_modules', 'build']) {
    execFileSync('ln', ['-s', join(root, name), join(dist, name)])
  }
}, 120_000)
afterAll(() => rmSync(dist, { recursive: true, force: true }))

interface Run {
  code: number | null
  stdout: string
  stderr: string
  /** The lines of stdout as JSON. */
  events: () => Record<string, never>[]
}

function start(args: readonly string[], done: (run: Run) => void, more: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, [main, ...args], { env: { ...env, ...more } })
  const out = { stdout: '', stderr: '' }
  child.stdout.on('data', (text) => (out.stdout += text))
  child.stderr.on('data', (text) => (out.stderr += text))
  const events = () =>
    out.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, never>)
  child.on('close', (code) => done({ code, ...out, events }))
  return child
}

function forja(...args: string[]): Promise<Run> {
  return new Promise((resolve) => start(args, resolve))
}

describe.runIf(existsSync('/dev/full'))('an stdout', () => {
  const shell = (command: string) => {
    const { status, stderr } = spawnSync('bash', ['-c', command, process.execPath, main], { env, encoding: 'utf8' })
    return { status, stderr }
  }

  it('that takes no more ends the command with a word', () => {
    const stderr = 'error: stdout cannot be written: ENOSPC: no space left on device, write\n'
    expect(shell('"$0" "$1" info > /dev/full')).toEqual({ status: 1, stderr })
  })

  it('whose reader has gone ends it without one', () => {
    expect(shell('set -o pipefail; "$0" "$1" data ls | true')).toEqual({ status: 0, stderr: '' })
  })
})

describe('colours', () => {
  it.each([
    ['off a terminal', {}, false],
    ['where FORCE_COLOR asks for them', { NO_COLOR: undefined, FORCE_COLOR: '1' }, true],
  ])('%s', async (_where, more, coloured) => {
    const { stderr } = await new Promise<Run>((resolve) => start(['nonsense'], resolve, more))
    expect(stderr.startsWith(coloured ? '\x1b[31merror:' : 'error:')).toBe(true)
  })
})

describe('help and usage', () => {
  it.each([
    ['train'],
    ['info'],
    ['summary'],
    ['bench'],
    ['data'],
    ['data', 'ls'],
    ['data', 'get'],
    ['data', 'verify'],
    ['data', 'path'],
  ])('%s %s --help shows two examples', async (...verb) => {
    const { code, stdout } = await forja(...(verb.filter(Boolean) as string[]), '--help')
    expect(code).toBe(0)
    expect(stdout.match(/^ {2}\$ forja /gm)?.length).toBeGreaterThanOrEqual(2)
  })

  it.each([
    [['nonsense'], /unknown command 'nonsense'/],
    [['train'], /missing required argument 'model'/],
    [['train', 'lenet5', '--epochs', '0'], /An integer from 1 was expected/],
    [['train', 'lenet5', '--threads', '99999'], /An integer from 1 to 1024 was expected/],
    [['train', 'lenet5', '--epochs', ' '], /An integer from 1 was expected/],
    [['train', 'lenet'], /'lenet' is invalid .* Did you mean 'lenet5'\?/],
    [['train', 'lenet5', '--lr', 'fast'], /A positive number was expected/],
    [
      ['train', 'lenet5', '--data', 'unknown'],
      /Allowed choices are mnist, fashion-mnist, cifar10, digits, housing, synthetic, shapes, circle/,
    ],
    [['train', 'lenet5', '--optimizer', 'x'], /Allowed choices are/],
    [['train', 'lenet5', '--nonsense'], /unknown option '--nonsense'/],
    [['data', 'get', 'unknown'], /Expected one of mnist, fashion-mnist/],
    [['bench', 'nonsense'], /Allowed choices are matmul, conv, ops, train, infer/],
    [['bench', 'matmul', '--seconds', '0'], /A positive number was expected/],
    [['bench', 'matmul', '--threads', '1.5'], /An integer from 1 to 1024 was expected/],
    [['summary', 'lenet5', '--input', 'a,b'], /Positive integers separated by commas/],
  ])('%j is a usage error', async (args, text) => {
    const { code, stdout, stderr } = await forja(...args)
    expect(code).toBe(2)
    expect(stderr).toMatch(text)
    expect(stdout).toBe('')
  })
})

describe('bench', () => {
  const short = ['bench', 'matmul', '--seconds', '0.01', '--threads', '1']

  it('prints a row a measurement, names absent peers and writes --out', async () => {
    const out = join(dist, 'rows.json')
    const { code, events, stderr } = await forja(...short, '--case', '32x32x32', '--json', '--out', out)
    expect(code).toBe(0)
    expect(events()).toHaveLength(1)
    expect(events()[0]).toMatchObject({
      event: 'row',
      suite: 'matmul',
      case: '32x32x32',
      variant: 'simd',
      device: 'cpu',
      dtype: 'float32',
      p50Ms: expect.any(Number),
      gflops: expect.any(Number),
      percentOfPeak: expect.any(Number),
    })
    // What is tested here is the compiled package by itself, without bench/peers.
    for (const peer of ['pytorch', 'openblas', 'openblas-skylakex', 'onnxruntime', 'tfjs-wasm'])
      expect(stderr).toMatch(new RegExp(`^${peer}: absent \\(there is no .*bench/peers/`, 'm'))
    const { event: _, ...row } = events()[0]!
    expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({
      command: 'forja bench matmul',
      machine: { cpu: expect.any(String), threads: 1, fmaGflops: expect.any(Number) },
      peers: expect.arrayContaining([{ name: 'pytorch', absent: expect.any(String) }]),
      rows: [row],
      errors: [],
    })
  })

  it('without --json prints a table for people, on stderr', async () => {
    const { code, stdout, stderr } = await forja(...short, '--case', '64x64x64', '--no-peers')
    expect(code).toBe(0)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^pytorch: absent \(switched off by --no-peers\)$/m)
    expect(stderr).toMatch(/^64x64x64 +simd +cpu +[\d.]+ [µm]s/m)
  })

  it.each([
    [['--device', 'cuda:7'], 3, /device 'cuda:7' is not available/],
    [['--case', 'nonsense'], 1, /^error: no case of matmul has 'nonsense' in its name\nhint: its cases are .*\n$/],
    [['--threads', '1024'], 1, /^error: 1024 threads; this process may use \d+ processors?\nhint: .*\n$/],
    [['--out', '/missing/folder/x.json'], 1, /--out: the folder \/missing\/folder cannot be written/],
  ])('%j ends with %i', async (args, expected, text) => {
    const { code, stdout, stderr } = await forja(...short, '--no-peers', ...args)
    expect(code).toBe(expected)
    expect(stderr).toMatch(text)
    expect(stdout).toBe('')
  })
})

describe('info, summary, data', () => {
  it('info tells the machine', async () => {
    const { code, events } = await forja('info', '--json')
    expect(code).toBe(0)
    expect(events()).toHaveLength(1)
    expect(events()[0]).toMatchObject({
      event: 'result',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      node: process.version,
      cpu: {
        name: expect.any(String),
        isa: expect.stringMatching(/^(avx512|avx2|neon|baseline)$/),
        threads: expect.any(Number),
      },
      cuda: { available: expect.any(Boolean), devices: expect.any(Array) },
    })
  })

  it.each([
    ['FORJA_ISA', 'wings', /'wings'/],
    ['FORJA_NUM_THREADS', 'many', /FORJA_NUM_THREADS must be a number of threads, or 0: 'many'/],
  ])('info says that %s=%s cannot be', async (name, value, text) => {
    const { code, stderr, stdout } = await new Promise<Run>((resolve) => start(['info'], resolve, { [name]: value }))
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).toMatch(text)
  })

  it('summary takes --input as a sample, never as a batch', async () => {
    const { code, stderr } = await forja('summary', 'lenet5', '--input', '3,28,28')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: conv2d \(conv1\): .*channels/)
  })

  it('summary counts', async () => {
    const { code, events } = await forja('summary', 'lenet5', '--json')
    expect(code).toBe(0)
    expect(events()).toHaveLength(1)
    expect(events()[0]).toMatchObject({
      event: 'result',
      model: 'lenet5',
      parameters: 61706,
      trainableParameters: 61706,
      macs: 416520,
      layers: expect.arrayContaining([expect.objectContaining({ name: 'conv1' })]),
    })
    expect((await forja('summary', 'lenet5')).stdout).toContain('61,706')
  })

  it('never fetches with --offline', async () => {
    const got = await new Promise<Run>((resolve) =>
      start(['data', 'get', 'mnist', '--offline'], resolve, { FORJA_OFFLINE: '0' }),
    )
    expect(got.code).toBe(1)
    expect(got.stderr).toMatch(/^error: MNIST: .*fetching is switched off/m)
  })

  it('data lists what there is and what is missing', async () => {
    const { code, events } = await forja('data', 'ls', '--json')
    expect(code).toBe(0)
    expect(events()[0]).toMatchObject({
      event: 'result',
      datasets: [
        { name: 'mnist', present: false },
        { name: 'fashion-mnist' },
        { name: 'cifar10', bytes: 170_052_171 },
        { name: 'housing' },
        { name: 'digits', mirrors: [] },
      ],
    })
    const { stdout } = await forja('data', 'ls')
    expect(stdout).toMatch(/^cifar10 .*170\.1 MB .*fetch with: forja data get cifar10$/m)
    expect(stdout).toMatch(/^digits .*not fetched: no mirror$/m)
    expect(stdout).toMatch(/^shapes .*always here$/m)
    const got = await forja('data', 'get', 'mnist')
    expect(got.code).toBe(1)
    expect(got.stderr).toMatch(/^error: MNIST: train-images-idx3-ubyte.gz is not on this machine/)
    expect(got.stderr).toMatch(/^hint: Put the file at/m)
    expect(got.stderr).not.toMatch(/^ +at /m)
    expect((await forja('data', 'path', '--json')).events()[0]).toMatchObject({ folders: [{ path: dist }, {}] })
  })
})

describe('data in another form', () => {
  const folder = join(dist, 'other-form')
  const train = join(folder, 'cifar10', 'train')

  it('is here, has a path, and no checksum to compare with', async () => {
    mkdirSync(train, { recursive: true })
    const { events } = await forja('data', 'ls', '--json', '--data-dir', folder)
    expect(events()[0]!.datasets).toContainEqual(expect.objectContaining({ name: 'cifar10', present: true }))
    for (const verb of ['path', 'get']) {
      const run = await forja('data', verb, 'cifar10', '--data-dir', folder)
      expect([run.code, run.stdout]).toEqual([0, `${train}\n`])
    }
    const verify = await forja('data', 'verify', 'cifar10', '--data-dir', folder)
    expect(verify.code).toBe(1)
    expect(verify.stderr).toBe(
      `error: ${train}: no checksum of this form of CIFAR-10 is published\nhint: There is one of cifar-10-binary.tar.gz.\n`,
    )
    mkdirSync(join(folder, 'digits'))
    writeFileSync(join(folder, 'digits', 'digits.csv'), '0\n')
    const digits = await forja('data', 'verify', 'digits', '--data-dir', folder)
    expect(digits.stderr).toMatch(/^error: .*digits\.csv: no checksum is published that it could be compared with$/m)
    expect((await forja('data', 'get', 'digits')).stderr).toMatch(/no mirror with a published checksum is known/)
  })
})

describe('train', () => {
  const quick = ['train', 'softmaxRegression', '--data', 'synthetic', '--json', '--epochs', '2']

  it('says every epoch and the result as JSON, and nothing else on stdout', async () => {
    const { code, stderr, events } = await forja(...quick)
    expect(code).toBe(0)
    expect(events().map(({ event }) => event)).toEqual(['epoch', 'epoch', 'result'])
    expect(events()[0]).toMatchObject({
      epoch: 1,
      epochs: 2,
      trainLoss: expect.any(Number),
      testAccuracy: expect.any(Number),
    })
    const keys = 'event model data device epochs parameters trainLoss testLoss testAccuracy imagesPerSecond seconds'
    expect(Object.keys(events()[2]!)).toEqual(keys.split(' '))
    expect(events()[2]).toMatchObject({
      model: 'softmaxRegression',
      data: 'synthetic',
      device: 'cpu',
      epochs: 2,
      parameters: 7850,
    })
    expect(events()[2]!.testAccuracy).toBeGreaterThan(0.8)
    expect(stderr).toMatch(/^Epoch 2\/2 .* loss .* acc .* \| val_loss .* val_acc .* lr 0.001000$/m)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: looks for escape sequences
    expect(stderr).not.toMatch(/\u001b/)
  })

  it('takes drawn digits where MNIST cannot be had, and says why', async () => {
    const { code, stderr, stdout } = await forja('train', 'softmaxRegression', '--epochs', '1')
    expect(code).toBe(0)
    expect(stderr).toMatch(/using 'synthetic' .* since MNIST: .* is not on this machine: fetching is switched off/)
    expect(stdout).toMatch(/^test accuracy \d\d\.\d\d %/)
  })

  it('makes the network as wide as the data', async () => {
    const { code, events } = await forja('train', 'mlp', '--data', 'gauss', '--epochs', '3', '--json')
    expect(code).toBe(0)
    expect(events().at(-1)).toMatchObject({ data: 'gauss', parameters: 2 * 512 + 512 + 512 * 2 + 2 })
    expect(events().at(-1)!.testAccuracy).toBeGreaterThan(0.95)
  })

  it('predicts numbers, and says how much of their variance it explains', async () => {
    const run = await forja('train', 'mlp', '--data', 'reg-plane', '--epochs', '3')
    expect(run.stdout).toMatch(/^test R² 0\.\d{3}, test loss /)
    const { events } = await forja('train', 'mlp', '--data', 'reg-plane', '--epochs', '3', '--json')
    const { testAccuracy, testR2, parameters } = events().at(-1)!
    expect([testAccuracy, parameters]).toEqual([null, 2 * 512 + 512 + 512 + 1])
    expect(testR2).toBeGreaterThan(0.9)
  })

  it('autoencoders learn without labels, and resumed is the same as never stopped', async () => {
    const [whole, part] = [join(dist, 'autoencoder.safetensors'), join(dist, 'half.safetensors')]
    const train = (...args: string[]) => forja('train', 'autoencoder', '--data', 'synthetic', ...args)
    const all = await train('--epochs', '2', '--json', '--save', whole)
    const result = all.events().at(-1)!
    expect(result).toMatchObject({ parameters: 209_968, testAccuracy: null, testLoss: all.events()[1]!.testLoss })
    expect(all.events()[0]!.testAccuracy).toBeUndefined()
    const model = fj.models.autoencoder()
    await fj.load(model, whole)
    const { test } = await fj.data.syntheticDigits()
    const unit = test.normalized({ scale: [1 / 255], offset: [0] })
    expect(result.testError).toBe(await fj.models.reconstructionError(model, unit))
    expect(result.testError).toBeLessThan(0.05) // 0.11 for a network that always says the mean picture

    await train('--epochs', '1', '--save', part)
    const rest = await train('--epochs', '2', '--resume', part, '--save', part, '--json')
    expect(rest.events().at(-1)).toMatchObject({ testLoss: result.testLoss, testError: result.testError })
    const { testLoss: again } = (await train('--epochs', '2', '--resume', part, '--json')).events().at(-1)!
    expect(again).toBeCloseTo(result.testLoss!, 6)
    expect((await train('--epochs', '1')).stdout).toMatch(
      /^test mean squared error of a pixel 0\.0\d{3}, test loss 0\./,
    )
  })

  it('refuses networks and data that do not go together', async () => {
    const cases: [string[], RegExp][] = [
      [
        ['stackedAutoencoder'],
        /^error: stackedAutoencoder is trained layer by layer, .*\nhint: in a program: models.stackedAutoencoder\(\).pretrain/,
      ],
      [['deepBeliefNetwork'], /^error: deepBeliefNetwork is trained layer by layer/],
      [
        ['charLSTM'],
        /^error: charLSTM learns from sequences of integers, which no data set here holds\nhint: in a program/,
      ],
      [
        ['autoencoder', '--data', 'circle'],
        /^error: autoencoder makes images again, numbers from 0 to 1; circle holds none\nhint: data sets of images: mnist/,
      ],
      [
        ['convAutoencoder', '--data', 'shapes'],
        /^error: convAutoencoder takes samples \(1, 28, 28\), those of shapes are \(3, 32, 32\)\nhint: networks for shapes: autoencoder, /,
      ],
    ]
    for (const [args, text] of cases) {
      const run = await forja('train', ...args)
      expect(run.stderr).toMatch(text)
      expect(run.code).toBe(1)
      expect(run.stdout).toBe('')
    }
    const { code, events } = await forja('summary', 'deepBeliefNetwork', '--json')
    expect(code).toBe(0)
    expect(events()[0]).toMatchObject({ parameters: 784 * 256 + 784 + 256 + 256 * 64 + 256 + 64 })
  })

  it('is the same for one seed, and resumed is the same as never stopped', async () => {
    const [whole, part] = [join(dist, 'whole.safetensors'), join(dist, 'part.safetensors')]
    const all = await forja(...quick, '--save', whole)
    await forja(...quick, '--epochs', '1', '--save', part)
    const rest = await forja(...quick, '--resume', part, '--save', part)
    expect(rest.code).toBe(0)
    expect(rest.events()).toHaveLength(2)
    const figures = ({ trainLoss, testLoss, testAccuracy }: Record<string, never>) => ({
      trainLoss,
      testLoss,
      testAccuracy,
    })
    expect(figures(rest.events().at(-1)!)).toEqual(figures(all.events().at(-1)!))
    const [a, b] = [fj.models.softmaxRegression(), fj.models.softmaxRegression()]
    await fj.load(a, whole)
    await fj.load(b, part)
    expect(await b.parameters()[0]!.data()).toEqual(await a.parameters()[0]!.data())
    const none = await forja(...quick, '--resume', part)
    expect(none.events()).toMatchObject([{ event: 'result', epochs: 2, testAccuracy: all.events()[2]!.testAccuracy }])
  })

  it('names what is wrong, without a stack', async () => {
    const middle = join(dist, 'middle.safetensors')
    const network = fj.models.softmaxRegression()
    const save = fj.callbacks.modelCheckpoint({ filepath: middle, saveFreq: 2 })
    const { train: digits } = await fj.data.syntheticDigits({ train: 20, test: 1 })
    const optimizer = new fj.optim.Adam(network.parameters())
    await fj.fit(network, digits, { optimizer, batchSize: 10, callbacks: [save], verbose: 0 })
    const cases: [string[], number, RegExp][] = [
      [['--device', 'cuda'], 3, /^error: device 'cuda' is not available/],
      [['--device', 'tpu'], 3, /^error: unknown device 'tpu'/],
      [['--save', join(dist, 'no/such/folder.safetensors')], 1, /^error: --save: the folder .* cannot be written/],
      [['--save', dist], 1, /^error: --save: .* is a folder; expected the path of a file\n$/],
      [
        ['--precision', 'bfloat16'],
        1,
        /^error: train: precision 'bfloat16' needs tensor cores, and device 'cpu' has none/,
      ],
      [['--resume', join(dist, 'none.safetensors')], 1, /^error: .*none.safetensors cannot be read/m],
      [
        ['--resume', middle],
        1,
        /^error: .*middle.safetensors was written after step 2 of epoch 1\nhint: the command line/m,
      ],
    ]
    for (const [args, code, text] of cases) {
      const run = await forja(...quick, ...args)
      expect(run.stderr).toMatch(text)
      expect(run.stderr).not.toMatch(/^ +at /m)
      expect(run.code).toBe(code)
    }
    const hot = await forja('train', 'mlp', '--data', 'synthetic', '--lr', '1e30', '--optimizer', 'sgd')
    expect(hot.code).toBe(1)
    expect(hot.stderr).toMatch(
      /^error: fit: the loss is .* in epoch 1, step \d+ of \d+; first in layer 'layers\.\d': the output of \w+\nhint: lower the learning rate/m,
    )
    const model = await forja('train', 'nosuch')
    expect(model.code).toBe(2)
    expect(model.stderr).toMatch(/'nosuch' is invalid .* Expected one of softmaxRegression/)
    expect(model.stderr).not.toContain('deepBeliefNetwork')
    const wrong = await forja('train', 'resnet18Cifar', '--data', 'synthetic')
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(
      /^error: resnet18Cifar takes samples \(3, 32, 32\), those of synthetic are \(1, 28, 28\)\nhint: networks for synthetic: softmaxRegression, .*lenet5/m,
    )
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends at %s with %i, the last complete epoch saved', async (signal, code) => {
    const file = join(dist, 'stopped.safetensors')
    const run = await new Promise<Run>((resolve) => {
      const child = start([...quick, '--epochs', '1000', '--save', file], resolve)
      let text = ''
      child.stdout!.on('data', (chunk) => {
        text += chunk
        // The second epoch's line is out: the first epoch's file is complete.
        if (text.split('\n').length > 2) child.kill(signal)
      })
    })
    expect(run.code).toBe(code)
    expect(run.stderr).toMatch(
      /interrupted after (1 complete epoch|\d+ complete epochs); epoch \d+ is in .*stopped.safetensors$/m,
    )
    expect(run.stderr).not.toContain('error')
    expect(existsSync(file)).toBe(true)
    const epochs = Number(/epoch (\d+) is in/.exec(run.stderr)![1])
    const next = await forja(...quick, '--epochs', String(epochs + 1), '--resume', file)
    expect(next.events()[0]).toMatchObject({ event: 'epoch', epoch: epochs + 1 })
  })
})
