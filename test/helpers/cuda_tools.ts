/** Programs of CUDA's toolkit, whose folder is often not on PATH. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export function findCudaTool(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/local/cuda/bin']
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path))
}
