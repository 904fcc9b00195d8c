/** Failures of a device that the emulator plants: what they cost, what is said of them, what goes on. */
import { describe, expect, it } from 'vitest'
import { runChild } from '../helpers/child.js'
import { TEST_DEVICE } from '../helpers/device.js'

const emulated = TEST_DEVICE === 'cuda-emulated'
if (!emulated) console.log("planted failures are left out: they need device 'cuda-emulated'")

interface Failed {
  code: string
  message: string
}

async function run<T>(
  what: string,
  env: Record<string, string>,
): Promise<{ answer: T; notices: string[]; stderr: string }> {
  const { code, stdout, stderr } = await runChild('cuda_failures', { args: [TEST_DEVICE, what], env })
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) })
  const notices = stderr.split('\n').filter((line) => line.startsWith('forja: '))
  return { answer: JSON.parse(stdout.trim().split('\n').at(-1)!) as T, notices, stderr }
}

describe.runIf(emulated)('a fault in a kernel', () => {
  it.each([
    // Launched one by one the host meets the fault while earlier runs are still under way: those are lost with it.
    ['launched one by one', '0', 4, 0],
    ['replayed', '1', 5, 4],
  ])('loses the device: pending calls of programs %s reject, the CPU goes on', async (_, graphs, at, good) => {
    const env = { SIMT_FAIL_LAUNCH: String(at), FORJA_CUDA_GRAPH: graphs }
    const { answer, notices } = await run<{ together: (number | Failed)[]; later: Failed; cpu: number }>('lost', env)
    const fault = 'an illegal memory access, planted by SIMT_FAIL_LAUNCH'
    const first = {
      code: 'ERR_DEVICE',
      message: expect.stringContaining(`running the program failed on the CUDA device: ${fault}`),
    }
    const lost = {
      code: 'ERR_DEVICE',
      message: expect.stringContaining(`the CUDA device is lost since an earlier error: ${fault}`),
    }
    const expected = [2, 4, 6, 8, 10, 12].map((value, i) => (i < good ? value : i === at - 1 ? first : lost))
    expect(answer).toEqual({ together: expected, later: lost, cpu: 16 })
    expect(notices).toEqual([])
  })
})

it.runIf(emulated)(
  'whatever call fails is named, no answer is wrong, the CPU goes on',
  { timeout: 120_000 },
  async () => {
    const isNumber = (result: number | Failed) => typeof result === 'number'
    let failed = 0
    for (let call = 1, whole = 0; whole < 4; call += 4) {
      const runs = [call, call + 1, call + 2, call + 3].map((n) =>
        run<{ results: (number | Failed)[]; cpu: number }>('calls', { SIMT_FAIL_CALL: String(n) }),
      )
      whole = 0
      for (const [i, { answer }] of (await Promise.all(runs)).entries()) {
        const { results, cpu } = answer
        // What the steps that succeeded added up.
        const total = results.slice(0, 3).reduce<number>((sum, result, x) => sum + (isNumber(result) ? x + 1 : 0), 0)
        const right = [2, 4, 6, total, 14]
        const named = {
          code: expect.stringMatching(/^ERR_(DEVICE|OUT_OF_MEMORY)$/),
          message: expect.stringMatching(/CUDA/),
        }
        expect(results, `SIMT_FAIL_CALL=${call + i}`).toEqual(
          results.map((result, k) => (isNumber(result) ? right[k] : named)),
        )
        expect(cpu).toBe(14)
        if (results.every(isNumber)) whole++
        else failed++
      }
    }
    expect(failed).toBeGreaterThan(20)
  },
)

it.runIf(emulated)('a graph that cannot be recorded leaves programs eager, which is said once', async () => {
  const { answer, notices } = await run<{ results: number[]; explained: string[] }>('graphs', { SIMT_FAIL_GRAPHS: '1' })
  expect(answer.results).toEqual([2, 3, 4, 6, 6, 9])
  for (const text of answer.explained) expect(text).toContain('(eager: no CUDA graph)')
  expect(notices).toEqual([
    'forja: CUDA runs a program kernel by kernel, since recording it as a graph failed: cudaErrorNotSupported (cudaErrorNotSupported)',
  ])
})

it.runIf(emulated)('a launch that is refused fails its run, not the device', async () => {
  const { answer } = await run<(number | Failed)[]>('refused', { SIMT_REFUSE_LAUNCH: '2', FORJA_CUDA_GRAPH: '0' })
  const words = 'fused failed on the CUDA device: cudaErrorLaunchOutOfResources (cudaErrorLaunchOutOfResources)'
  expect(answer).toEqual([2, { code: 'ERR_DEVICE', message: expect.stringContaining(words) }, 6])
})

it.runIf(emulated)('a device that this build has no code for is named, with what it needs', async () => {
  const { answer } = await run<Failed>('unknown', { SIMT_COMPUTE: '75' })
  const message = 'CUDA device 0 (emulated on the CPU) has compute capability 7.5, this build needs 8.0'
  expect(answer).toEqual({ code: 'ERR_DEVICE', message })
})

it.runIf(emulated)('no memory for a program: asked, free and the largest values are named, others go on', async () => {
  const { answer } = await run<{ results: number[]; refused: Failed }>('memory', { SIMT_ARENA_MB: '64' })
  expect(answer.refused).toEqual({
    code: 'ERR_OUT_OF_MEMORY',
    message: expect.stringMatching(
      /^no CUDA memory for an arena of \d{9} bytes: \d{8} of 67108864 bytes are free; the largest values are \(1000, 300, 300\) of 360000000 bytes, \(1000, \d00, \d00\) of 120000000 bytes, \(1000, \d00, \d00\) of 120000000 bytes$/,
    ),
  })
  expect(answer.results).toEqual([0, 1, 2, 3])
})

it.runIf(emulated)(
  'the graph of a training step has branches',
  async () => {
    const recorded = async (graph: string) => {
      const { stderr } = await runChild('cuda', {
        args: [TEST_DEVICE],
        env: { SIMT_TRACE: '1', FORJA_CUDA_GRAPH: graph },
      })
      const [nodes, longest] = /a graph of (\d+) nodes, (\d+) on its longest way/.exec(stderr)!.slice(1).map(Number)
      return { nodes: nodes!, longest: longest! }
    }
    const line = await recorded('line')
    expect(line.longest).toBe(line.nodes)
    const branched = await recorded('1')
    expect(branched.nodes).toBe(line.nodes)
    expect(branched.longest).toBeLessThan(0.8 * line.nodes)
  },
  120_000,
)

it.runIf(emulated)('a graph of no known kind is refused', async () => {
  const { answer } = await run<Failed>('unknown', { FORJA_CUDA_GRAPH: 'tree' })
  expect(answer).toEqual({
    code: 'ERR_DEVICE',
    message: expect.stringContaining("FORJA_CUDA_GRAPH must be 0, 1 or line: 'tree'"),
  })
})

it.runIf(emulated)('a driver that takes no branches gets a graph without', async () => {
  const { answer, notices, stderr } = await run<number[]>('queue', { SIMT_FAIL_EDGES: '1', SIMT_TRACE: '1' })
  expect(answer).toEqual([2, 4, 6, 8, 10, 12, 14, 16])
  expect(notices).toEqual([])
  expect(stderr).toMatch(/a graph of \d+ nodes/)
})

it.runIf(emulated).each([
  ['takes no conditions', 'SIMT_FAIL_CONDITIONS', 'CUDA graphs without conditions'],
  ['takes neither branches nor conditions', 'SIMT_FAIL_EDGES', 'CUDA graphs without branches, without conditions'],
])('a driver that %s gets two graphs, between which the host looks for faults', async (_, refusing, explained) => {
  const { answer, notices, stderr } = await run<{ results: unknown[]; count: number; explained: string }>('guarded', {
    [refusing]: '1',
    SIMT_TRACE: '1',
  })
  const fault = { code: 'ERR_ARGUMENT', message: expect.stringContaining('labels[0] is 9, expected 0..3') }
  const loss = expect.closeTo(Math.log(4), 5)
  expect(answer.results).toEqual([loss, loss, fault, loss, fault, loss])
  expect(answer.count).toBe(4)
  expect(answer.explained).toContain(`(${explained})`)
  expect(notices).toEqual([])
  expect(stderr.match(/a graph of \d+ nodes/g)).toHaveLength(2)
})

it.runIf(emulated)('a recording that is refused part way, wherever, is made anew', async () => {
  const recorded = async (node: number) => {
    const env = { SIMT_REFUSE_NODE: String(node), SIMT_TRACE: '1' }
    const { answer, notices, stderr } = await run<{ count: number; explained: string }>('guarded', env)
    expect({ node, count: answer.count, notices }).toEqual({ node, count: 4, notices: [] })
    expect(answer.explained.includes('(CUDA graph without branches)')).toBe(node <= 7)
    const graphs = [...stderr.matchAll(/a graph of (\d+) nodes, (\d+) on its longest way/g)]
    expect(graphs).toHaveLength(1)
    return graphs[0]!.slice(1).map(Number) as [number, number]
  }
  // Seven nodes of the graph, one of which is the condition, and one of the commit; the second attempt is a line.
  for (let node = 1; node <= 7; node++) expect(await recorded(node)).toEqual([7, 7])
  expect(await recorded(8)).toEqual([7, 5])
})

it.runIf(emulated)("a step's time is without what the host does between the pure part and the commit", async () => {
  const { answer } = await run<number[][]>('profiled', { SIMT_WAIT_MS: '1000000', SIMT_LAZY: '1' })
  expect(answer.map((times) => times.length)).toEqual([1, 3])
  for (const milliseconds of answer.flat()) {
    expect(milliseconds).toBeGreaterThan(0)
    expect(milliseconds).toBeLessThan(1e6)
  }
})

it.runIf(emulated)('four runs are queued before the host waits for the first', async () => {
  const { answer, stderr } = await run<number[]>('queue', { SIMT_TRACE: '1', SIMT_LAZY: '1' })
  expect(answer).toEqual([2, 4, 6, 8, 10, 12, 14, 16])
  const queued = [...stderr.matchAll(/the host waits, (\d) graphs are queued/g)].map((match) => Number(match[1]))
  expect(Math.max(...queued)).toBe(4)
})
