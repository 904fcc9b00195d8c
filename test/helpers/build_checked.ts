/** Before the tests of 'cuda-checked': kernels with every access of memory checked, and the programs of planted bugs. */
import { buildTargets } from './build_emulated.js'

export default function setup(): void {
  buildTargets('forja_cuda_checked', 'forja_planted', 'forja_planted_checked', 'forja_ptx_planted', 'forja_fakes')
}
