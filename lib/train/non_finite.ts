/**
 * Where a loss that is no finite number comes from: the step's forward pass once more, asking of every value of its
 * graph, in the order of execution, whether all elements are finite. The culprit is the first that is not although
 * everything it was computed from is.
 */
import { isFloat } from '../dtype.js'
import { topological, type Value } from '../graph/graph.js'
import { cast } from '../ops/cast.js'
import { lessEqual } from '../ops/compare.js'
import { abs } from '../ops/math.js'
import { all } from '../ops/reduce.js'
import { compile } from '../runtime/compile.js'
import { Tensor } from '../tensor.js'
import type { Feed, FeedBatch } from './feed.js'
import { inMode, type Trainable } from './model.js'
import type { Objective } from './objective.js'

const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127

interface Site {
  value: Value
  /** Completes "the loss is NaN in epoch 1, step 2 of 3; ..." */
  text: string
}

/** Says what holds NaN or infinity first; undefined where the pass gives finite numbers this time. */
export async function findNonFinite(
  model: Trainable,
  feed: Feed,
  objective: Objective,
  { args }: FeedBatch,
  device: string | undefined,
): Promise<string | undefined> {
  let sites: Site[] = []
  const inspect = compile(
    (...inputs: Tensor[]) => {
      const { x, y } = feed.read(inputs)
      const output = inMode(model, true, () => model.forward(x))
      const { loss } = objective.score(output, y)
      sites = sitesOf(x, y, output, loss)
      return sites.map(({ value }) => all(lessEqual(abs(cast(new Tensor(value), 'float32')), LARGEST_FLOAT32)))
    },
    { device },
  )
  try {
    const flags = await inspect(...args)
    const finite = new Map<Value, boolean>()
    for (const [i, { value }] of sites.entries()) finite.set(value, (await flags[i]!.item()) === 1)
    const culprit = sites.find(({ value }) => {
      const { inputs, source } = value.node
      return !finite.get(value) && (source !== undefined || inputs.every((input) => finite.get(input) ?? true))
    })
    return culprit?.text
  } finally {
    inspect.dispose()
  }
}

/** Every float value between the batch and the loss. Constants are left out: -Infinity in a mask is meant. */
function sitesOf(x: Tensor, y: Tensor, output: Tensor, loss: Tensor): Site[] {
  const given: Site[] = [
    { value: x.value, text: "the batch's input holds NaN or infinity" },
    { value: y.value, text: "the batch's target holds NaN or infinity" },
  ]
  const inside = (value: Value) => given.every((site) => site.value !== value)
  const forward = new Set(topological([output.value], inside))
  const values = topological([loss.value], inside).flatMap((node): Site[] => {
    const { name, op, source } = node
    if (source?.kind === 'variable') {
      return [{ value: node.outputs[0]!, text: `the parameter '${source.name}' held NaN or infinity before it` }]
    }
    if (source !== undefined) return []
    const where = name !== undefined ? `layer '${name}'` : forward.has(node) ? 'forward()' : 'the loss function'
    return node.outputs.map((value) => ({ value, text: `first in ${where}: the output of ${op.name}` }))
  })
  return [...given, ...values].filter(({ value }) => isFloat(value.dtype))
}
