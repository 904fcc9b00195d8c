/**
 * The device under test: the CPU, or what FORJA_TEST_DEVICE names. The cases of an operation are written once and run
 * on the CPU, on the CUDA kernels run by the CPU ('cuda-emulated': a vitest project of its own) and, by
 * `npm run test:cuda`, on a GPU.
 */
import { beforeAll } from 'vitest'
import { type CompileFunctionOptions, type ForjaError, setDefaultDevice } from '../../lib/index.js'
import { allOps } from '../../lib/ops/registry.js'
import { type BackendName, loadAddon } from '../../lib/runtime/addon.js'

export const TEST_DEVICE = process.env.FORJA_TEST_DEVICE ?? 'cpu'
/** Whether the CPU stands in for the GPU under test, by running its PTX (test/ptx.sh): right, and slow. */
export const RUNS_PTX = process.env.FORJA_TEST_PTX === '1'
/** The device under test, and beside the CPU the interpreter that all are compared with. */
export const DEVICES = TEST_DEVICE === 'cpu' ? ['cpu', 'reference'] : [TEST_DEVICE]
export const BACKEND = TEST_DEVICE.split(':')[0] as BackendName
/** Of a GPU under test, or of the emulated one. */
export const MULTIPROCESSORS = BACKEND === 'cpu' ? 0 : loadAddon().devices(BACKEND).devices[0]!.threads

/** The kernel variants of an operation that the device under test has. */
export function variantsOf(name: string): string[] {
  const op = allOps().find((candidate) => candidate.name === name)!
  return (op.variants ?? []).filter((_variant, i) => loadAddon().supports(BACKEND, op.code, i + 1))
}

/**
 * Those of them that this machine can run: a library's only where it is there. `probe` runs the operation; what is left out
 * is said.
 */
export async function usableVariants(
  name: string,
  probe: (options: CompileFunctionOptions) => Promise<unknown>,
): Promise<string[]> {
  const usable: string[] = []
  for (const variant of variantsOf(name)) {
    try {
      await probe({ device: TEST_DEVICE, algorithms: { [name]: variant } })
      usable.push(variant)
    } catch (error) {
      if ((error as ForjaError).code !== 'ERR_BACKEND_UNAVAILABLE') throw error
      console.log(`skipped: ${(error as Error).message}`)
    }
  }
  return usable
}

// As a setup file: what is read outside of `compile` is computed there too.
beforeAll(() => setDefaultDevice(TEST_DEVICE))
