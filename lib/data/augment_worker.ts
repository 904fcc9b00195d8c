/** A thread that changes images: takes jobs with an id, gives the images back under it. See worker_pool.ts. */
import { parentPort } from 'node:worker_threads'
import { changeImages, type ImageJob } from './image_transform.js'

parentPort!.on('message', ({ id, job }: { id: number; job: ImageJob }) => {
  const result = changeImages(job)
  parentPort!.postMessage({ id, result }, [result.buffer as ArrayBuffer])
})
