/** bfloat16 products as GPUs without instructions for warpgroups make them: warp by warp (gemm_core.cuh). */
import { it } from 'vitest'
import { TEST_DEVICE } from '../helpers/device.js'
import { describeProducts, WARP_TILES } from '../helpers/tensorcore.js'

if (TEST_DEVICE === 'cuda-emulated') {
  process.env.SIMT_COMPUTE = '80' // read when the device is opened
  describeProducts('bfloat16', WARP_TILES)
} else {
  const reason = `skipped: ${TEST_DEVICE} has the instructions it has; the emulated device can be without`
  it.skip(reason, () => {})
  console.log(reason)
}
