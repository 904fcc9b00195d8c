/**
 * Variables' state: a value that outlives programs, on one device at a time. It begins as a lazy initial value, is
 * placed on the first device that needs it, and moves when another device does.
 */
import type { TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { Node, type TensorType, type Value, type VariableSource } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import type { Device, DeviceBuffer } from './device.js'
import { evaluate, forgetVariable } from './evaluate.js'

let nextId = 0

export class VariableState implements VariableSource {
  readonly kind = 'variable'
  readonly id = nextId++
  /** The initial value, not computed: what makes it, so that it need not be kept. */
  readonly origin: Value
  #initial: Value | null
  #buffer: DeviceBuffer | null = null
  /** The last of the moves that are not over; each waits for the one before. */
  #placing: Promise<DeviceBuffer> | null = null
  #disposed = false

  constructor(
    public name: string,
    readonly type: TensorType,
    initial: Value,
  ) {
    this.#initial = initial
    this.origin = twin(initial)
  }

  /** The value that has not been placed yet; null once it is on a device. */
  get initial(): Value | null {
    return this.#initial
  }

  get placed(): DeviceBuffer | null {
    return this.#buffer
  }

  /** The buffer on `device`, moved there if need be. Calls for one device share the work. */
  async on(device: Device): Promise<DeviceBuffer> {
    this.#check()
    if (!this.#placing && this.#buffer?.device === device) return this.#buffer
    const before = this.#placing
    const placing = (async () => {
      await before?.catch(() => {}) // its own caller hears of the failure
      return this.#buffer?.device === device ? this.#buffer : await this.#place(device)
    })()
    this.#placing = placing
    const done = () => {
      if (this.#placing === placing) this.#placing = null
    }
    placing.then(done, done)
    return await placing
  }

  async #place(device: Device): Promise<DeviceBuffer> {
    const data = await this.read()
    const buffer = device.createBuffer(this.type)
    try {
      await buffer.fill(data)
      this.#check()
    } catch (error) {
      buffer.dispose()
      throw error
    }
    if (this.#buffer) this.#release(this.#buffer)
    this.#buffer = buffer
    this.#initial = null
    return buffer
  }

  #release(buffer: DeviceBuffer): void {
    forgetVariable(this)
    buffer.dispose()
  }

  /** The current elements, in storage order. */
  async read(): Promise<TypedArray> {
    this.#check()
    if (this.#buffer) return await this.#buffer.read()
    return (await evaluate([this.#initial!]))[0]!
  }

  /** Replaces the value, for every run that is started from now on; `data` in storage order. */
  async write(data: TypedArray): Promise<void> {
    this.#check()
    while (this.#placing) await this.#placing.catch(() => {})
    this.#check()
    if (this.#buffer) await this.#buffer.write(data)
    else this.#initial = makeLeaf({ kind: 'constant', data }, this.type)
  }

  dispose(): void {
    this.#disposed = true
    if (this.#buffer) this.#release(this.#buffer)
    this.#buffer = null
    this.#initial = null
  }

  #check(): void {
    if (this.#disposed) throw new ForjaError('ERR_DISPOSED', `the variable '${this.name}' was disposed`)
  }
}

/** The same output of a node like the value's own, which is not marked as computed when that one is. */
function twin(value: Value): Value {
  const { op, inputs, attrs, outputs, name, source } = value.node
  if (source) return value
  const types = outputs.map((output) => output.type)
  return new Node(op, inputs, attrs, types, name).outputs[value.index]!
}
