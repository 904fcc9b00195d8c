/** Which device 'auto' takes, and what is said where it is not the one that a user counts on. */
import { describe, expect, it } from 'vitest'
import { cudaStatus } from '../../lib/index.js'
import { expectsGpu } from '../../lib/runtime/device.js'
import { runChild } from '../helpers/child.js'

const { available, reason } = await cudaStatus()
if (available) console.log('the fallback from CUDA to the CPU is left out: CUDA works here')

async function run(env: Record<string, string>): Promise<{ answer: Record<string, unknown>; said: string[] }> {
  const { stdout, stderr } = await runChild('device', { env })
  return { answer: JSON.parse(stdout), said: stderr.split('\n').filter((line) => line !== '') }
}

describe.runIf(!available)("'auto' without CUDA", () => {
  it('takes the CPU and says so once where FORJA_DEVICE asks for a GPU', async () => {
    const { answer, said } = await run({ FORJA_DEVICE: 'cuda:1' })
    expect(answer).toEqual({ sums: [2, 3] })
    expect(said).toEqual([`forja: FORJA_DEVICE=cuda:1, but the CPU is used: ${reason}`])
  })

  it('says nothing where no GPU is to be expected, else why it is not used', async () => {
    const { answer, said } = await run({ FORJA_DEVICE: '' })
    expect(answer).toEqual({ sums: [2, 3] })
    const expected = `forja: the CPU is used although this machine has an NVIDIA driver: ${reason}`
    expect(said).toEqual(expectsGpu() ? [expected] : [])
  })
})

it.each(['/dev/nvidiactl', '/proc/driver/nvidia/version'])('a GPU is to be expected where there is %s', (file) => {
  expect(expectsGpu((path) => path === file)).toBe(true)
  expect(expectsGpu(() => false)).toBe(false)
})

it.each(['cpu', 'reference'])('FORJA_DEVICE=%s is taken without a word', async (name) => {
  expect(await run({ FORJA_DEVICE: name })).toEqual({ answer: { sums: [2, 3] }, said: [] })
})

it('FORJA_DEVICE that names no device is refused', async () => {
  const { answer } = await run({ FORJA_DEVICE: 'tpu' })
  expect(answer).toEqual({ code: 'ERR_DEVICE', message: expect.stringContaining("unknown device 'tpu'") })
})
