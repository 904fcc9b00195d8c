/** Arguments that several verbs take. */
import { Argument, InvalidArgumentError } from 'commander'
import * as models from '../models/index.js'

/** `<model>`, the name of a network; another name is a usage error. Help names those that are `listed`. */
export function modelArgument(listed: (model: models.ModelInfo) => boolean = () => true): Argument {
  const names = models.list().map((model) => model.name)
  const shown = models
    .list()
    .filter(listed)
    .map((model) => model.name)
  return new Argument('<model>', `one of ${shown.join(', ')}`).argParser((name) => {
    if (!names.includes(name)) throw new InvalidArgumentError(`expected one of ${shown.join(', ')}`)
    return name
  })
}

/** An integer from `low` on. */
export function integer(low: number) {
  return (text: string): number => {
    const value = Number(text)
    if (!Number.isSafeInteger(value) || value < low)
      throw new InvalidArgumentError(`an integer from ${low} was expected.`)
    return value
  }
}

export function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('a positive number was expected.')
  return value
}
