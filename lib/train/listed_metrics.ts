/** The metrics that `metrics: [...]` lists, by name, as a function or as they are. */
import { describeGiven, ForjaError } from '../errors.js'
import { cast } from '../ops/cast.js'
import { requireArray } from '../ops/check_call.js'
import { mul } from '../ops/elementwise.js'
import { reshape } from '../ops/shape.js'
import { formatShape } from '../shape.js'
import {
  accuracy,
  binaryAccuracy,
  type Metric,
  type MetricFunction,
  type MetricLike,
  meanAbsoluteError,
  meanSquaredError,
  r2Score,
  topKAccuracy,
} from './metrics.js'

const FIXED: Readonly<Record<string, () => Metric>> = {
  binaryAccuracy,
  mse: meanSquaredError,
  mae: meanAbsoluteError,
  r2: r2Score,
}

/** Names that logs use for something else. */
const TAKEN = ['loss', 'epoch', 'step', 'steps', 'lr', 'seconds', 'samplesPerSecond']

/**
 * The metrics that a user listed.
 *
 * @param logits whether outputs are logits, so that 0 is where two classes part
 */
export function metricsOf(list: readonly MetricLike[], logits: boolean, who: string): Metric[] {
  requireArray(who, 'metrics', list)
  const metrics = list.map((metric) => metricOf(metric, logits, who))
  const names = new Set<string>()
  for (const { name } of metrics) {
    if (names.has(name)) throw new ForjaError('ERR_ARGUMENT', `${who}: two metrics called '${name}'`)
    if (TAKEN.includes(name) || /^val[A-Z]/.test(name)) {
      throw new ForjaError('ERR_ARGUMENT', `${who}: a metric cannot be called '${name}': logs use that name`)
    }
    names.add(name)
  }
  return metrics
}

function metricOf(metric: MetricLike, logits: boolean, who: string): Metric {
  if (typeof metric === 'function') return averaged(metric, who)
  if (typeof metric === 'object' && typeof metric?.sums === 'function' && typeof metric.value === 'function') {
    return metric
  }
  if (metric === 'accuracy') return accuracy({ threshold: logits ? 0 : 0.5 })
  if (typeof metric === 'string') {
    const k = /^top([1-9]\d*)Accuracy$/.exec(metric)?.[1]
    if (k !== undefined) return topKAccuracy({ k: Number(k) })
    if (Object.hasOwn(FIXED, metric)) return FIXED[metric]!()
  }
  const known = ['accuracy', 'top<k>Accuracy', ...Object.keys(FIXED)].join(', ')
  throw new ForjaError(
    'ERR_ARGUMENT',
    `${who}: unknown metric ${describeGiven(metric)}; expected one of ${known}, a function or a metric of fj.metrics`,
  )
}

function averaged(of: MetricFunction, who: string): Metric {
  const { name } = of
  if (name === '') {
    throw new ForjaError('ERR_ARGUMENT', `${who}: a metric that is a function needs a name`, {
      hint: 'const closeness = (output, target) => ...; metrics: [closeness]',
    })
  }
  return {
    name,
    sums(output, target) {
      const value = of(output, target)
      if (value.size !== 1) {
        throw new ForjaError(
          'ERR_SHAPE',
          `${who}: the metric '${name}' gives ${formatShape(value.shape)}; expected a scalar`,
        )
      }
      return { total: mul(cast(reshape(value, []), 'float32'), output.shape[0]!) }
    },
    value: ({ total }, samples) => total![0]! / samples,
  }
}
