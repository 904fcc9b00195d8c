import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Peer, type PeerSpec, peerSpecs, type Task } from '../../lib/bench/peers.js'
import { expectClose } from '../helpers/compare.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-peers-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A peer whose answer to each command is `answers[command.do]`. */
function fake(name: string, answers: Record<string, object>, end = ''): PeerSpec {
  const script = join(folder, `${name}.mjs`)
  writeFileSync(
    script,
    `import { writeFileSync } from 'node:fs'
     import { createInterface } from 'node:readline'
     for await (const line of createInterface(process.stdin)) {
       const command = JSON.parse(line)
       if (command.do === 'prepare') writeFileSync(command.result, new Uint8Array(new Float32Array([1, 2]).buffer))
       const answer = ${JSON.stringify(answers)}[command.do]
       if (answer === undefined) { ${end} }
       console.log(JSON.stringify(answer))
     }`,
  )
  return { name, script, programs: [process.execPath], suites: [] }
}

const TASK: Task = {
  case: { kind: 'matmul', transposeA: true, transposeB: false },
  arrays: {
    a: { shape: [3, 2], dtype: 'float32', data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    b: { shape: [3, 2], dtype: 'float32', data: Float32Array.of(1, 0, 0, 1, 1, 1) },
  },
}

async function started(spec: PeerSpec): Promise<Peer> {
  const peer = await Peer.start(spec, 1)
  if (!(peer instanceof Peer)) throw new Error(peer.absent)
  return peer
}

describe('a peer', () => {
  it('gives its version, the result of a case and the samples of a turn', async () => {
    const peer = await started(fake('good', { hello: { version: 'good 1' }, prepare: {}, time: { samples: [0.5] } }))
    expect(peer.version).toBe('good 1')
    expect(await peer.prepare(TASK)).toEqual(Float32Array.of(1, 2))
    expect(await peer.turn(0.1)).toEqual([0.5])
    peer.stop()
  })

  it('says what it cannot do', async () => {
    const peer = await started(fake('modest', { hello: { version: '1' }, prepare: { unsupported: 'no such kernel' } }))
    expect(await peer.prepare(TASK)).toBe('no such kernel')
    peer.stop()
  })

  it('that fails in a case is an error with its words, and goes on', async () => {
    const answers = { hello: { version: '1' }, prepare: { failed: 'MemoryError: too large' }, time: { samples: [1] } }
    const peer = await started(fake('greedy', answers))
    for (let i = 0; i < 2; i++)
      await expect(peer.prepare(TASK)).rejects.toMatchObject({
        code: 'ERR_INTERNAL',
        message: 'the peer greedy failed: MemoryError: too large',
      })
    expect(await peer.turn(1)).toEqual([1])
    peer.stop()
  })

  it('that fails while it is timed is an error with its words', async () => {
    const answers = { hello: { version: '1' }, prepare: {}, time: { failed: 'OutOfMemoryError: too much' } }
    const peer = await started(fake('hungry', answers))
    await peer.prepare(TASK)
    await expect(peer.turn(1)).rejects.toThrow('the peer hungry failed: OutOfMemoryError: too much')
    peer.stop()
  })

  it('that dies in a case is an error that names it and its last words', async () => {
    const spec = fake('mortal', { hello: { version: '1' } }, "throw new TypeError('out of iron')")
    const peer = await started(spec)
    await expect(peer.prepare(TASK)).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
      message: expect.stringMatching(/the peer mortal failed: TypeError: out of iron/),
    })
    peer.stop()
  })

  it.each([
    ['prepare', 'await new Promise(() => {})', /^the peer stuck failed: no answer to 'prepare' within 0.5 s$/],
    ['time', 'await new Promise(() => {})', /^the peer stuck failed: no answer to 'time' within 0.6 s$/],
    [
      'prepare',
      "console.log('Loading ..')",
      /^the peer stuck failed: answered 'prepare' by 'Loading \.\.', which is no JSON$/,
    ],
  ] as const)('without an answer to %s in time is ended, and does no other case', async (command, end, message) => {
    const answers = { hello: { version: '1' }, ...(command === 'time' ? { prepare: {} } : {}) }
    // What it has started itself keeps its stdout open.
    const spawned = `(await import('node:child_process')).spawn('sleep', ['5'], { stdio: 'inherit' }).unref();`
    const peer = await started({ ...fake('stuck', answers, spawned + end), patience: 0.5 })
    if (command === 'time') await peer.prepare(TASK)
    const ask = () => (command === 'time' ? peer.turn(0.1) : peer.prepare(TASK))
    await expect(ask()).rejects.toThrow(message)
    await expect(peer.prepare(TASK)).rejects.toThrow(message)
    peer.stop()
  })
})

describe('an absent peer', () => {
  it.each<[string, PeerSpec, RegExp]>([
    ['by its own account', fake('away', { hello: { absent: 'not installed' } }), /^not installed$/],
    [
      'that says nothing',
      { ...fake('mute', {}, 'await new Promise(() => {})'), patience: 0.5 },
      /^no answer to 'hello'/,
    ],
    [
      'that says something else',
      fake('gruff', {}, "console.log('hello')"),
      /^answered 'hello' by 'hello', which is no/,
    ],
    ['that a signal ends', fake('killed', {}, "process.kill(process.pid, 'SIGILL')"), /^ended by SIGILL$/],
    [
      'whose script is missing',
      { ...fake('x', {}), script: '/missing/peer.mjs' },
      /^there is no \/missing\/peer\.mjs$/,
    ],
    [
      'whose program is missing',
      { ...fake('y', {}), programs: ['/missing/a', '/missing/b'] },
      /a: .*ENOENT.*b: .*ENOENT/,
    ],
  ])('%s has a reason', async (_, spec, reason) => {
    expect(await Peer.start(spec, 1)).toEqual({ name: spec.name, absent: expect.stringMatching(reason) })
  })
})

it('on GPUs is PyTorch, for networks in each way it can run them', () => {
  const names = (suite: string) => peerSpecs(suite, 'cuda').map(({ name }) => name)
  expect(names('conv')).toEqual(['pytorch'])
  expect(names('train')).toEqual(['pytorch', 'pytorch-graph', 'pytorch-compile'])
})

describe.each(peerSpecs('train', 'cuda'))('$name on a GPU', (spec) => {
  it('says how it runs there, or why it does not', async () => {
    const peer = await Peer.start(spec, 1, 'cuda:0')
    if (peer instanceof Peer) {
      expect(peer.version).toMatch(
        /^PyTorch .*, CUDA .*, cuDNN .*, (eager|captured graphs|torch\.compile, max-autotune)$/,
      )
      peer.stop()
    } else {
      expect(peer.absent).toMatch(/sees no GPU|No module named|ENOENT/)
    }
  })
})

// Those of bench/peers that this machine has: aᵀ b.
describe.each(peerSpecs('matmul'))('$name', (spec) => {
  it('multiplies as it is told', async (context) => {
    expect(existsSync(spec.script)).toBe(true)
    const peer = await Peer.start(spec, 1)
    if (!(peer instanceof Peer)) {
      console.log(`${spec.name} skipped: ${peer.absent}`)
      return context.skip()
    }
    const result = await peer.prepare(TASK)
    expect(result).toBeInstanceOf(Float32Array)
    expectClose(result as Float32Array, [6, 8, 8, 10], spec.name)
    const samples = await peer.turn(0.01)
    expect(samples.length).toBeGreaterThan(0)
    for (const seconds of samples) expect(seconds).toBeGreaterThan(0)
    peer.stop()
  })
})
