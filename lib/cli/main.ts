#!/usr/bin/env node
/** `forja <verb>`: the command line. One file a verb beside this one. */
import { Command } from 'commander'
import { addData } from './data.js'
import { addInfo, VERSION } from './info.js'
import { EXIT, examples, report } from './output.js'
import { addSummary } from './summary.js'
import { addTrain } from './train.js'

/** Subcommands inherit these, so they are set before the verbs are added. */
const program = new Command('forja')
  .description('Deep learning for Node.js: train and inspect networks.')
  .version(VERSION)
  .exitOverride()
  .showHelpAfterError('(add --help for the options)')
  .addHelpText('after', examples('forja train lenet5', 'forja info'))

addInfo(program)
addTrain(program)
addSummary(program)
addData(program)

// A reader that closes the pipe (`| head`) has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed)
})

program.parseAsync().catch((error: unknown) => {
  process.exitCode = report(error)
})
