/** Threads for data: no job is left without an answer. */
import { expect, it } from 'vitest'
import { WorkerPool } from '../../lib/data/worker_pool.js'

const internal = expect.objectContaining({ code: 'ERR_INTERNAL' })

it('rejects the jobs of a thread that ends, and those that come after', async () => {
  // The worker fails at a job without pixels.
  const pool = new WorkerPool<object, unknown>('data/augment_worker.js', 1)
  await expect(pool.run({})).rejects.toEqual(internal)
  await expect(pool.run({})).rejects.toEqual(internal)
  await pool.close()
  await expect(pool.run({})).rejects.toEqual(internal)
})
