/** Before `npm run test:cuda`: ends it with the reason where CUDA cannot be used. */
import { cudaStatus } from '../../lib/index.js'

export default async function setup(): Promise<void> {
  const { available, reason, devices } = await cudaStatus()
  if (!available) throw new Error(`these tests need a GPU: ${reason}`)
  console.log(`testing ${devices[0]!.id}: ${devices[0]!.name}, ${devices[0]!.isa}`)
}
