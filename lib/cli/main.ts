#!/usr/bin/env node
/** `forja <verb>`: the command line. One file a verb beside this one. */
import { Command } from 'commander'
import { VERSION } from '../version.js'
import { addBench } from './bench.js'
import { addData } from './data.js'
import { addInfo } from './info.js'
import { EXIT, errorLabel, examples, report } from './output.js'
import { addSummary } from './summary.js'
import { addTrain } from './train.js'

/** Subcommands inherit these, so they are set before the verbs are added. */
const program = new Command('forja')
  .description('Deep learning for Node.js: train, inspect and measure networks.')
  .version(VERSION)
  .exitOverride()
  .showHelpAfterError('(add --help for the options)')
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, errorLabel)) })
  .addHelpText('after', examples('forja train lenet5', 'forja info'))

addInfo(program)
addTrain(program)
addSummary(program)
addBench(program)
addData(program)

// A reader that closes the pipe (`| head`) has what it wanted.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok)
    if (stream === process.stdout) process.stderr.write(`${errorLabel()} stdout cannot be written: ${error.message}\n`)
    process.exit(EXIT.failed)
  })
}

program.parseAsync().catch((error: unknown) => {
  process.exitCode = report(error)
})
