/**
 * The types and numbers of NVIDIA's libraries, which the build has without their headers (native/cuda/libraries.cuh),
 * against the headers of this machine: the toolkit's, and `include` beside the folders of FORJA_CUDA_LIB_DIR.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { findCudaTool } from '../helpers/cuda_tools.js'

const native = fileURLToPath(new URL('../../native', import.meta.url))
const source = fileURLToPath(new URL('vendor_headers.cu', import.meta.url))
const nvcc = findCudaTool('nvcc')
const libraries = (process.env.FORJA_CUDA_LIB_DIR ?? '').split(':').filter((folder) => folder !== '')
const include = [native, ...libraries.map((folder) => join(folder, '../include'))].flatMap((folder) => ['-I', folder])

/** What nvcc makes of a source, its file or its text. */
const compile = (args: string[], input = '') =>
  execFileSync(nvcc!, ['-std=c++17', ...include, ...args], { input, encoding: 'utf8', maxBuffer: 2 ** 28 })

describe.each([
  ['cublasLt.h', 'CHECK_CUBLASLT'],
  ['cudnn.h', 'CHECK_CUDNN'],
])('%s', (header, check) => {
  const probe = `#if __has_include(<${header}>)\nfound\n#endif\n`
  const there = nvcc !== undefined && /^found$/m.test(compile(['-E', '-x', 'cu', '-'], probe))
  if (!there) console.log(`the check of ${header} is left out: there is no ${nvcc === undefined ? 'nvcc' : header}`)

  it.skipIf(!there)('declares what is called as it is called', () => {
    expect(compile(['--cuda', '-o', '/dev/null', `-D${check}`, source])).toBe('')
  })
})
