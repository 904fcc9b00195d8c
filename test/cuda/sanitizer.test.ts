/** NVIDIA's compute-sanitizer over a training run, where there are a GPU and the tool: what no emulation can see. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { findCudaTool } from '../helpers/cuda_tools.js'
import { RUNS_PTX, TEST_DEVICE } from '../helpers/device.js'

const TOOL = 'compute-sanitizer'
const path = findCudaTool(TOOL)
/** Its exit code where it found something. */
const FOUND = 77

const isGpu = TEST_DEVICE.startsWith('cuda') && TEST_DEVICE !== 'cuda-emulated' && !RUNS_PTX
const missing = isGpu ? undefined : 'no GPU is under test'
const reason = missing ?? (path === undefined ? `there is no ${TOOL}` : undefined)
if (reason !== undefined) console.log(`${TOOL} is left out: ${reason}`)

// Tensor cores read what asynchronous copies bring: bfloat16 is what the emulation knows least of.
const runs = ['memcheck', 'racecheck', 'synccheck'].flatMap((tool) => [
  [tool, 'float32'],
  [tool, 'bfloat16'],
])

// Side by side, since each takes minutes.
describe.concurrent('LeNet-5 trains', () => {
  it.runIf(reason === undefined).each(runs as [string, string][])(
    'without a word from %s in %s',
    async (tool, precision) => {
      const script = fileURLToPath(new URL('../native/children/cuda.mjs', import.meta.url))
      const child = [process.execPath, script, TEST_DEVICE, precision]
      const args = ['--tool', tool, '--error-exitcode', String(FOUND), ...child]
      const { stdout } = await promisify(execFile)(path!, args, { timeout: 300_000, maxBuffer: 1 << 26 })
      expect(stdout).toMatch(/ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards/)
    },
    300_000,
  )
})
