/** Variables' state between devices, and what of it programs keep. */
import { expect, it } from 'vitest'
import type { TypedArray } from '../../lib/dtype.js'
import * as fj from '../../lib/index.js'
import type { Device, DeviceBuffer } from '../../lib/runtime/device.js'
import { settledMemory } from '../helpers/memory.js'

const MB = 2 ** 20

/** A device whose buffers hold `data`; `fill` fails as often as it is told to. */
function fakeDevice(failures: number) {
  const buffers: { data?: TypedArray; disposed: boolean }[] = []
  const device = {
    createBuffer(): DeviceBuffer {
      const buffer = { data: undefined as TypedArray | undefined, disposed: false }
      buffers.push(buffer)
      const write = async (data: TypedArray) => {
        buffer.data = data.slice()
      }
      return {
        device: device as unknown as Device,
        write,
        fill: async (data) => {
          await new Promise((resolve) => setTimeout(resolve, 1))
          if (failures-- > 0) throw new Error('no memory')
          await write(data)
        },
        read: async () => buffer.data!,
        dispose: () => {
          buffer.disposed = true
        },
      }
    },
  }
  return { device: device as unknown as Device, buffers }
}

it('releases the buffer that a value could not be placed in, and can be written and placed after that', async () => {
  const { state } = fj.variable(fj.tensor([1, 2]))
  const { device, buffers } = fakeDevice(1)
  await expect(state.on(device)).rejects.toThrow('no memory')
  expect(buffers.map(({ disposed }) => disposed)).toEqual([true])
  await state.write(Float32Array.of(3, 4))
  expect([...(await state.read())]).toEqual([3, 4])
  await state.on(device)
  expect(buffers[1]!.data).toEqual(Float32Array.of(3, 4))
})

it('writes behind a move that has begun', async () => {
  const { state } = fj.variable(fj.tensor([1, 2]))
  const [from, to] = [fakeDevice(0), fakeDevice(0)]
  await state.on(from.device)
  const moved = state.on(to.device)
  const written = state.write(Float32Array.of(5, 6))
  await Promise.all([moved, written])
  expect(to.buffers[0]!.data).toEqual(Float32Array.of(5, 6))
  await state.write(Float32Array.of(7, 8))
  expect(to.buffers[0]!.data).toEqual(Float32Array.of(7, 8))
  expect(from.buffers[0]!.disposed).toBe(true)
  await Promise.all([state.on(from.device), state.write(Float32Array.of(9, 10))])
  expect([...(await state.read())]).toEqual([9, 10])
})

it('goes back to a device that it is just being moved from', async () => {
  const { state } = fj.variable(fj.tensor([1, 2]))
  const [from, to] = [fakeDevice(0), fakeDevice(0)]
  await state.on(from.device)
  const moved = state.on(to.device)
  const buffer = await state.on(from.device)
  await moved
  expect(state.placed).toBe(buffer)
  expect(from.buffers.map(({ disposed }) => disposed)).toEqual([true, false])
})

it('leaves no memory on the devices that a variable was on', async () => {
  const ones = fj.tensor(new Float32Array(2 * MB).fill(1))
  const before = await settledMemory()
  const w = fj.variable(ones)
  for (const device of ['cpu', 'reference']) {
    fj.setDefaultDevice(device)
    expect(await fj.sum(fj.mul(w, 0.5)).item()).toBe(MB)
  }
  fj.setDefaultDevice('cpu')
  w.dispose()
  expect((await settledMemory()) - before).toBeLessThan(4 * MB)
})
