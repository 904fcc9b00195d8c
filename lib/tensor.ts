/**
 * `Tensor`: what users hold. A tensor is one value of the graph; operations only build the graph, and reading a value
 * (`await t.data()`) compiles and runs what it needs. Methods named like operations are added in ops/methods.ts.
 */
import { allocate, type DType, isHalf, type TypedArray } from './dtype.js'
import { ForjaError } from './errors.js'
import type { Value } from './graph/graph.js'
import { formatDimension } from './graph/unknown_size.js'
import { toRef } from './reference/array.js'
import { evaluate } from './runtime/evaluate.js'
import { formatShape, type Shape, sizeOfShape } from './shape.js'

export type NestedArray = number | NestedArray[]

export class Tensor {
  #value: Value | null
  readonly name?: string

  /** @internal Users get tensors from `fj.tensor` and from operations. */
  constructor(value: Value, name?: string) {
    this.#value = value
    if (name !== undefined) this.name = name
  }

  /** @internal The graph value behind this tensor; throws ERR_DISPOSED after dispose(). */
  get value(): Value {
    if (this.#value === null) {
      throw new ForjaError('ERR_DISPOSED', `the tensor${this.name ? ` '${this.name}'` : ''} was disposed`)
    }
    return this.#value
  }

  get shape(): Shape {
    return this.value.shape
  }

  get dtype(): DType {
    return this.value.dtype
  }

  get rank(): number {
    return this.value.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return sizeOfShape(this.value.shape)
  }

  get isDisposed(): boolean {
    return this.#value === null
  }

  /** A fresh typed array of the elements, row-major. float16 and bfloat16 come as their 16 bits. */
  async data(): Promise<TypedArray> {
    return (await evaluateTensors([this]))[0]!
  }

  /** The elements as nested arrays of numbers; a number for rank 0. */
  async array(): Promise<NestedArray> {
    const { shape, dtype } = this
    return nest(numbers(await this.data(), dtype), shape)
  }

  /** The only element; ERR_SHAPE for more than one. */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw new ForjaError(
        'ERR_SHAPE',
        `item() needs exactly one element, the tensor has shape ${formatShape(this.shape)}`,
      )
    }
    const { dtype } = this
    return numbers(await this.data(), dtype)[0]!
  }

  /** Forgets the value at once; garbage collection does the same later. Safe to call twice. */
  dispose(): void {
    this.#value = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  toString(): string {
    return this.#value === null
      ? 'Tensor(disposed)'
      : `Tensor(${this.name ? `'${this.name}', ` : ''}[${this.shape.map(formatDimension).join(', ')}], ${this.dtype})`
  }
}

/**
 * The elements of several tensors, each as its `data()` gives them, computed by one program.
 *
 * @throws ERR_ARGUMENT for anything else than an array of tensors
 */
export async function evaluateTensors(tensors: readonly Tensor[]): Promise<TypedArray[]> {
  if (!Array.isArray(tensors) || !tensors.every((t) => t instanceof Tensor)) {
    throw new ForjaError('ERR_ARGUMENT', 'evaluate: an array of tensors was expected')
  }
  const values = tensors.map((t) => t.value)
  const elements = await evaluate(values)
  return values.map(({ dtype }, i) => {
    const copy = allocate(dtype, elements[i]!.length)
    copy.set(elements[i]!)
    return copy
  })
}

function numbers(data: TypedArray, dtype: DType): TypedArray {
  return isHalf(dtype) ? toRef([data.length], dtype, data).data : data
}

function nest(data: TypedArray, shape: Shape): NestedArray {
  const build = (axis: number, offset: number, span: number): NestedArray => {
    if (axis === shape.length) return data[offset]!
    const step = span / Math.max(1, shape[axis]!)
    return Array.from({ length: shape[axis]! }, (_, i) => build(axis + 1, offset + i * step, step))
  }
  return build(0, 0, sizeOfShape(shape))
}
