/**
 * Variables' state: a value that outlives programs, on one device at a time. It begins as a lazy initial value, is
 * placed on the first device that needs it, and moves when another device does.
 */
import type { TypedArray } from '../dtype.js'
import { ForjaError } from '../errors.js'
import { Node, type TensorType, topological, type Value, type VariableSource } from '../graph/graph.js'
import { makeLeaf } from '../ops/creation.js'
import type { Device, DeviceBuffer } from './device.js'
import { evaluateNow, evaluation, forgetVariable } from './evaluate.js'
import { inTurn, type Started } from './turn.js'

let nextId = 0

export class VariableState implements VariableSource {
  readonly kind = 'variable'
  readonly id = nextId++
  /** The initial value, not computed: what makes it, so that it need not be kept. */
  readonly origin: Value
  /** The start of the last call that holds it, see turn.ts. */
  starting: Promise<void> | null = null
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
    const made = topological([initial], (value) => value.resident === undefined)
    if (made.some(({ source }) => source?.kind === 'variable')) this.#capture(initial)
  }

  /** A value that is made of variables is what they make of it at this moment, not when it is first needed. */
  #capture(initial: Value): void {
    const { variables, start } = evaluation([initial])
    const captured = inTurn([this, ...variables], async () => {
      const [data] = await (await start()).result
      if (this.#initial === initial) this.#set(data!)
      return { result: undefined }
    })
    captured.catch(() => {}) // whoever needs the value hears of it
  }

  /** The value that has not been placed yet; null once it is on a device. */
  get initial(): Value | null {
    return this.#initial
  }

  /** Where it is, if it is on a device and not just being moved. */
  get placed(): DeviceBuffer | null {
    return this.#placing ? null : this.#buffer
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
    const data = await this.readNow()
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
  read(): Promise<TypedArray> {
    return inTurn([this], () => ({ result: this.readNow() }))
  }

  /** As read, for a call whose turn it is. */
  async readNow(): Promise<TypedArray> {
    this.#check()
    if (this.#buffer) return await this.#buffer.read()
    return (await evaluateNow([this.#initial!]))[0]!
  }

  /** Replaces the value, for every run that is started from now on; `data` in storage order. */
  write(data: TypedArray): Promise<void> {
    return inTurn([this], () => this.#startWrite(data))
  }

  /** As write, of a value that is evaluated as it is now. */
  async assign(value: Value): Promise<void> {
    if (value.resident) return await this.write(value.resident)
    const { variables, start } = evaluation([value])
    return await inTurn([this, ...variables], async () => this.#startWrite((await (await start()).result)[0]!))
  }

  #startWrite(data: TypedArray): Started<void> | Promise<Started<void>> {
    this.#check()
    return this.#placing ? this.#settled().then(() => this.#startWrite(data)) : { result: this.#set(data) }
  }

  async #settled(): Promise<void> {
    await this.#placing?.catch(() => {})
  }

  #set(data: TypedArray): Promise<void> | undefined {
    if (this.#buffer) return this.#buffer.write(data)
    this.#initial = makeLeaf({ kind: 'constant', data }, this.type)
    return undefined
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
