/** Arguments that several verbs take. */
import { Argument, InvalidArgumentError } from 'commander'
import * as models from '../models/index.js'
import { nearest } from '../options.js'
import { MOST_THREADS } from '../runtime/devices.js'

/** `<model>`, the name of a network; another name is a usage error. Help names those that are `listed`. */
export function modelArgument(listed: (model: models.ModelInfo) => boolean = () => true): Argument {
  const names = models.list().map((model) => model.name)
  const shown = models
    .list()
    .filter(listed)
    .map((model) => model.name)
  return new Argument('<model>', `one of ${shown.join(', ')}`).argParser((name) => {
    if (names.includes(name)) return name
    const meant = nearest(name, shown)
    throw new InvalidArgumentError(
      meant === undefined ? `Expected one of ${shown.join(', ')}.` : `Did you mean '${meant}'?`,
    )
  })
}

/** An integer from `low` to `high`. */
export function integer(low: number, high = Number.MAX_SAFE_INTEGER) {
  const range = high === Number.MAX_SAFE_INTEGER ? `from ${low}` : `from ${low} to ${high}`
  return (text: string): number => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < low || value > high)
      throw new InvalidArgumentError(`An integer ${range} was expected.`)
    return value
  }
}

/** --threads */
export const threadCount = integer(1, MOST_THREADS)

export function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('A positive number was expected.')
  return value
}
