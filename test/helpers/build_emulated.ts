/** Before the tests of 'cuda-emulated': the CUDA sources, built by the host compiler (native/cuda/emulation). */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const build = fileURLToPath(new URL('../../build', import.meta.url))

export function buildTargets(...targets: string[]): void {
  execFileSync('cmake', ['--build', build, '--target', ...targets, '--parallel', '2'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

export default function setup(): void {
  const checked = process.env.FORJA_CUDA_CHECKED === '1' ? '_checked' : ''
  buildTargets(checked ? 'forja_cuda_checked' : 'forja_cuda_emulated', 'forja_fakes')
}
