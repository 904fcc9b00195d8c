import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Cases that run on whatever device is under test (test/helpers/device.ts). */
const onAnyDevice = [
  'test/ops/**/*.test.ts',
  'test/optim/optim.test.ts',
  'test/passes/join.test.ts',
  'test/passes/schedule.test.ts',
  'test/passes/hoist.test.ts',
  'test/passes/pooled.test.ts',
  'test/passes/pool_maps.test.ts',
]
const built = (name: string) => fileURLToPath(new URL(`build/Release/${name}`, import.meta.url))
const module = process.env.FORJA_CUDA_CHECKED === '1' ? 'forja_cuda_checked.so' : 'forja_cuda_emulated.so'

const cpu = {
  extends: true as const,
  test: { name: 'cpu', include: ['test/**/*.test.ts'], exclude: ['test/cuda/**', 'test/checked/**'] },
}
const emulated = {
  extends: true as const,
  test: {
    name: 'cuda-emulated',
    include: [...onAnyDevice, 'test/cuda/**/*.test.ts'],
    globalSetup: 'test/helpers/build_emulated.ts',
    setupFiles: 'test/helpers/device.ts',
    env: {
      FORJA_TEST_DEVICE: 'cuda-emulated',
      SIMT_LAZY: '1', // streams run when something waits for them, at random: a forgotten wait shows
      FORJA_CUDA_EMULATED: built(module),
      FORJA_CUDA_LIB_DIR: built('fakes'),
    },
  },
}
/** Small shapes of every kernel with all accesses of memory checked: races, bounds, bytes that nothing wrote. */
const checked = {
  extends: true as const,
  test: {
    name: 'cuda-checked',
    include: ['test/checked/**/*.test.ts'],
    globalSetup: 'test/helpers/build_checked.ts',
    setupFiles: 'test/helpers/device.ts',
    env: {
      FORJA_TEST_DEVICE: 'cuda-emulated',
      FORJA_CUDA_EMULATED: built('forja_cuda_checked.so'),
      FORJA_CUDA_LIB_DIR: built('fakes'),
      SIMT_SITES: built('forja_cuda_checked.sites'),
    },
  },
}
const gpu = {
  extends: true as const,
  test: {
    name: 'cuda',
    include: [...onAnyDevice, 'test/cuda/**/*.test.ts'],
    globalSetup: 'test/helpers/require_gpu.ts',
    setupFiles: 'test/helpers/device.ts',
    env: { FORJA_TEST_DEVICE: 'cuda' },
  },
}

export default defineConfig({
  test: {
    globalSetup: 'test/helpers/build_dist.ts',
    setupFiles: ['test/helpers/equality.ts'],
    pool: 'forks',
    // A GPU keeps several busy, whose time goes into what its results are compared with.
    maxWorkers: process.env.FORJA_TEST_GPU === '1' ? Math.max(2, availableParallelism() >> 1) : 2,
    testTimeout: 60_000,
    env: { FORJA_TUNE: '0' }, // the same kernels in every run; what times them has tests of its own
    // The emulation is Linux's: its fibers and the way it finds shared memory are.
    projects:
      process.env.FORJA_TEST_GPU === '1' ? [gpu] : process.platform === 'linux' ? [cpu, emulated, checked] : [cpu],
  },
})
