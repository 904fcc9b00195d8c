import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/helpers/build_dist.ts',
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
  },
})
