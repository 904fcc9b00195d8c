/** `forja summary <model>`: layers, output shapes, parameters, multiply-accumulates. */
import { type Command, InvalidArgumentError } from 'commander'
import * as models from '../models/index.js'
import { modelArgument } from './arguments.js'
import { examples, Output } from './output.js'

interface Options {
  input?: number[]
  json?: boolean
}

export function addSummary(program: Command): void {
  program
    .command('summary')
    .description('layers, output shapes, parameters and multiply-accumulates of a network')
    .addArgument(modelArgument())
    .option('--input <shape>', "a sample's shape, such as 3,224,224", parseShape)
    .option('--json', 'one JSON object a line on stdout')
    .addHelpText('after', examples('forja summary lenet5', 'forja summary resnet50 --input 3,256,256'))
    .action((model: string, options: Options) => summary(model, options))
}

function summary(name: string, options: Options): void {
  const model = models.create(name)
  const { input, dtype } = models.list().find((info) => info.name === name)!
  const found = model.summary({ input: [1, ...(options.input ?? input)], dtype, name })
  new Output(options.json === true).result(String(found), found.toJSON())
}

function parseShape(text: string): number[] {
  const shape = text.split(/[,x×]/).map(Number)
  if (!shape.every((size) => Number.isInteger(size) && size > 0)) {
    throw new InvalidArgumentError('Positive integers separated by commas were expected.')
  }
  return shape
}
