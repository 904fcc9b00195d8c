/**
 * Cases that time kernels: a small program of one operation, of which the steps themselves are timed, without the call
 * into it and without the copy of its result to JavaScript.
 */
import { ForjaError } from '../errors.js'
import * as fj from '../index.js'
import { allOps } from '../ops/registry.js'
import { inversePermutation } from '../shape.js'
import { checkParity, median } from './harness.js'
import type { PeerArray, Task } from './peers.js'
import { type Case, type Check, dtypeOn, type Entrant, measure, type SuiteContext } from './suite.js'

export type Inputs = Readonly<Record<string, fj.Tensor>>

export interface Operand {
  readonly shape: readonly number[]
  /** Labels: integers below this, instead of normal numbers. */
  readonly below?: number
  /**
   * Order of the axes in memory, in forja: that of the middle of a network, where nothing has to be transposed. Peers
   * get every operand in the order of its shape.
   */
  readonly axes?: readonly number[]
}

/** Memory order of images (N, C, H, W) and of filters (K, C, R, S). */
export const IMAGE = [0, 2, 3, 1] as const
export const FILTER = [2, 3, 1, 0] as const

export interface KernelCase {
  readonly suite: string
  readonly name: string
  /** The operation whose variants the ladder shows; else all that the program does is timed. */
  readonly operation?: string
  readonly inputs: Readonly<Record<string, Operand>>
  /** What is computed. */
  readonly build: (inputs: Inputs) => fj.Tensor
  /** As an operand's `axes`. */
  readonly resultAxes?: readonly number[]
  /**
   * The first so many indices of each operand, and of the result, that are computed again in float64: the part of the
   * result that depends on nothing else.
   */
  readonly corner: Readonly<Record<string, readonly number[]>> & { readonly result: readonly number[] }
  /** What the peers are told beside the operands. */
  readonly task: Task['case']
  readonly tolerance: number
  readonly flops?: number
  /** Bytes that any kernel must read and write. */
  readonly bytes: number
  /** An operation whose steps do not count: what a gradient's program computes first. */
  readonly untimed?: string
}

/** Below this a program holds several copies of the operation: its first step also waits for the threads to wake. */
const AWAKE_FLOPS = 2e8
const MOST_COPIES = 16
/** What copies may read and write beside each other: half of an L2 cache, since a peer's only operands stay in theirs. */
const COPY_BYTES = 512 * 1024

/** Of results whose operands, and with bfloat16 the results too, were rounded. */
const ROUNDED = { tf32: 2e-3, bfloat16: 1e-2 }

export async function measureKernel(context: SuiteContext, given: KernelCase): Promise<void> {
  const precision = dtypeOn(context, context.device)
  const kase: KernelCase = {
    ...given,
    tolerance: precision === 'float32' ? given.tolerance : ROUNDED[precision],
    bytes: precision === 'bfloat16' ? given.bytes / 2 : given.bytes,
  }
  const arrays: Record<string, PeerArray> = {}
  for (const [name, { shape, below }] of Object.entries(kase.inputs)) {
    const values = below === undefined ? fj.randn(shape) : fj.randint(0, below, shape)
    arrays[name] = { shape, dtype: below === undefined ? 'float32' : 'int32', data: await values.data() }
  }
  const programs: KernelProgram[] = []
  try {
    for (const variant of context.ladder ? variantsOf(kase.operation) : [undefined]) {
      const program = await KernelProgram.create(context, kase, arrays, variant)
      if (program) programs.push(program)
    }
    await measure(context, {
      suite: kase.suite,
      name: kase.name,
      entrants: programs,
      task: { case: { ...kase.task, precision }, arrays },
      tolerance: kase.tolerance,
      check: (result, what, tolerance) => checkCorner({ ...kase, tolerance }, arrays, result, what),
      flops: kase.flops,
      bytes: kase.bytes,
      turns: context.ladder ? 3 : undefined,
    } satisfies Case)
  } finally {
    for (const program of programs) program.dispose()
  }
}

function variantsOf(operation: string | undefined): readonly (string | undefined)[] {
  return allOps().find((op) => op.name === operation)?.variants ?? [undefined]
}

class KernelProgram implements Entrant {
  /** Tensor cores round float32 whatever the precision, where they are asked for. */
  readonly tolerance: number | undefined

  private constructor(
    readonly variant: string,
    readonly result: ArrayLike<number>,
    readonly call: () => Promise<number | undefined>,
    readonly dispose: () => void,
    { precision }: SuiteContext,
  ) {
    this.tolerance = variant === 'tensorcore' && precision === 'float32' ? ROUNDED.tf32 : undefined
  }

  /** Nothing where this machine does not have the variant, which is said. */
  static async create(
    context: SuiteContext,
    kase: KernelCase,
    arrays: Readonly<Record<string, PeerArray>>,
    variant: string | undefined,
  ): Promise<KernelProgram | undefined> {
    const { device, precision, say } = context
    const { operation } = kase
    const sizes = Object.entries(arrays).map(([name, { data }]) => ({ name, bytes: 4 * data.length }))
    const smallest = sizes.reduce((least, size) => (size.bytes < least.bytes ? size : least))
    const shared = sizes.reduce((sum, { bytes }) => sum + bytes, -smallest.bytes)
    const copies = copiesOf(kase.flops ?? AWAKE_FLOPS, kase.bytes - shared)
    const variable = (name: string) => {
      const { shape, dtype, data } = arrays[name]!
      return fj.variable(fj.tensor(data, { shape, dtype }), { storageAxes: kase.inputs[name]!.axes })
    }
    const operands = Object.fromEntries(Object.keys(arrays).map((name) => [name, variable(name)]))
    // Equal products would be computed once: each copy has a smallest operand of its own.
    const own = Array.from({ length: copies }, (_, i) => (i === 0 ? {} : { [smallest.name]: variable(smallest.name) }))
    const stored = (y: fj.Tensor) => (kase.resultAxes ? fj.transpose(y, kase.resultAxes) : y)
    const shown = (y: fj.Tensor) => (kase.resultAxes ? fj.transpose(y, inversePermutation(kase.resultAxes)) : y)
    const program = fj.compile(() => own.map((copy) => stored(kase.build({ ...operands, ...copy }))), {
      device,
      precision,
      ...(variant === undefined ? {} : { algorithms: { [operation!]: variant } }),
    })
    const dispose = () => {
      program.dispose()
      for (const variable of [operands, ...own].flatMap((list) => Object.values(list))) variable.dispose()
    }
    try {
      const result = await shown((await program())[0]!).data()
      if (device === 'reference') {
        const call = async () => void (await program())
        return new KernelProgram('reference', result, call as Entrant['call'], dispose, context)
      }
      const steps = await program.profile()
      const kernel = variantIn(steps.find((step) => step.operation === operation)?.kernel, operation)
      if (variant !== undefined && kernel !== variant) {
        dispose()
        say(`${kase.name}: no ${variant} (it has no kernel for these sizes; ${kernel} would run)`)
        return undefined
      }
      const call = async () => {
        // What rounds float32 operands for it is no part of the operation.
        const isTimed = (name: string) => (precision === 'float32' ? name !== kase.untimed : name === operation)
        const timed = (await program.profile()).filter((step) => isTimed(step.operation))
        return secondsOf(
          timed.map((step) => step.milliseconds / 1000),
          copies,
        )
      }
      return new KernelProgram(variant ?? kernel ?? 'forja', result, call, dispose, context)
    } catch (error) {
      dispose()
      if (variant === undefined || !isAbsence(error)) throw error
      say(`${kase.name}: no ${variant} (${(error as Error).message})`)
      return undefined
    }
  }
}

/** Of a kernel's name, such as "conv2d winograd 2x2": the variant that it begins with, winograd2x2. */
function variantIn(kernel: string | undefined, operation: string | undefined): string | undefined {
  const text = kernel?.split(' ').slice(1).join('')
  const matching = variantsOf(operation).filter((variant) => variant !== undefined && text?.startsWith(variant))
  return matching.sort((a, b) => b!.length - a!.length)[0]
}

function isAbsence(error: unknown): boolean {
  return (
    error instanceof ForjaError && (error.code === 'ERR_BACKEND_UNAVAILABLE' || error.code === 'ERR_UNSUPPORTED_OP')
  )
}

/** How often a program holds the operation; each copy has `ownBytes` to itself. */
function copiesOf(flops: number, ownBytes: number): number {
  const awake = Math.min(MOST_COPIES, Math.ceil(AWAKE_FLOPS / flops))
  // The first does not count.
  return Math.min(awake, Math.max(2, Math.floor(COPY_BYTES / ownBytes)))
}

/** Of one operation: its steps' sum, or of several copies of one step the median, without the first. */
function secondsOf(steps: readonly number[], copies: number): number {
  if (copies === 1) return steps.reduce((sum, seconds) => sum + seconds, 0)
  const each = steps.length / copies
  const sums = Array.from({ length: copies }, (_, i) =>
    steps.slice(i * each, (i + 1) * each).reduce((sum, seconds) => sum + seconds, 0),
  )
  return median(sums.slice(1))
}

/** Compares the result's corner with the float64 interpreter. */
async function checkCorner(
  { build, corner, tolerance }: KernelCase,
  arrays: Readonly<Record<string, PeerArray>>,
  result: ArrayLike<number>,
  what: string,
): Promise<Check> {
  const part: Record<string, fj.Tensor> = {}
  for (const [name, { shape, dtype, data }] of Object.entries(arrays)) {
    const slice = fj.slice(fj.tensor(data, { shape, dtype }), { ends: corner[name] })
    part[name] = fj.tensor(await slice.data(), { shape: slice.shape, dtype })
  }
  const names = Object.keys(part)
  const exact = fj.compile(
    (...operands: fj.Tensor[]) => build(Object.fromEntries(names.map((name, i) => [name, operands[i]!]))),
    { device: 'reference' },
  )
  const expected = await exact(...names.map((name) => part[name]!))
  exact.dispose()
  const { shape } = build(
    Object.fromEntries(Object.entries(arrays).map(([name, a]) => [name, fj.zeros(a.shape, { dtype: a.dtype })])),
  )
  const ours = fj.slice(fj.tensor(result as Float32Array, { shape }), { ends: corner.result })
  return {
    against: 'reference',
    error: checkParity(`${what} against the reference`, await ours.data(), await expected.data(), tolerance),
  }
}
