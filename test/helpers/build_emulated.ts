/** Before the tests of 'cuda-emulated': the CUDA sources, built by the host compiler (native/cuda/emulation). */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const build = fileURLToPath(new URL('../../build', import.meta.url))

export default function setup(): void {
  const target = process.env.FORJA_CUDA_CHECKED === '1' ? 'forja_cuda_checked' : 'forja_cuda_emulated'
  execFileSync('cmake', ['--build', build, '--target', target, '--parallel', '2'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}
