/** `forja train <model>`: trains a network and says how well it does. */
import { type Command, Option } from 'commander'
import { augment } from '../data/augment.js'
import type { Dataset, Splits } from '../data/dataset.js'
import { ForjaError } from '../errors.js'
import { loadCheckpoint, saveCheckpoint } from '../io/checkpoint.js'
import * as models from '../models/index.js'
import type { Optimizer } from '../optim/index.js'
import { ExponentialLR } from '../optim/schedule.js'
import { setSeed } from '../random.js'
import { checkPrecision } from '../runtime/compile.js'
import { resolveDevice } from '../runtime/device.js'
import { setThreads } from '../runtime/devices.js'
import { type EpochLogs, evaluateModel, fit } from '../train/index.js'
import { integer, modelArgument, positive, threadCount } from './arguments.js'
import { DATASETS } from './datasets.js'
import { checkReadable, checkWritable, examples, Interrupted, Output } from './output.js'
import { makeOptimizer, OPTIMIZERS, type Recipe, recipeFor } from './recipes.js'
import { checkTrainable, isTrainable, type Task, taskOf } from './task.js'

interface Options {
  data?: string
  dataDir?: string
  offline?: boolean
  epochs?: number
  batchSize?: number
  lr?: number
  optimizer?: string
  device: string
  threads?: number
  precision: 'float32' | 'tf32' | 'bfloat16'
  seed: number
  save?: string
  resume?: string
  json?: boolean
}

export function addTrain(program: Command): void {
  program
    .command('train')
    .description('train a network and measure it on test data')
    .addArgument(modelArgument(isTrainable))
    .addOption(
      new Option(
        '--data <name>',
        'data set; by default that of the network (MNIST, CIFAR-10), or a drawn one where it cannot be had',
      ).choices(Object.keys(DATASETS)),
    )
    .option('--data-dir <dir>', 'folder that holds one folder a data set; looked at first')
    .option('--offline', 'never fetch a data set; also FORJA_OFFLINE=1')
    .option('--epochs <n>', 'times that every sample is seen; default: the recipe of the network', integer(1))
    .option('--batch-size <n>', 'samples a step; default: of the recipe', integer(1))
    .option('--lr <x>', 'learning rate; default: of the recipe', positive)
    .addOption(
      new Option('--optimizer <name>', 'rule of the updates; default: of the recipe').choices(Object.keys(OPTIMIZERS)),
    )
    .option('--device <name>', 'auto, cpu, cuda, cuda:<n> or reference', 'auto')
    .option('--threads <n>', 'CPU threads; default: FORJA_NUM_THREADS, else one a processor', threadCount)
    .addOption(
      new Option('--precision <name>', 'of products; tf32 and bfloat16 need CUDA')
        .choices(['float32', 'tf32', 'bfloat16'])
        .default('float32'),
    )
    .option('--seed <n>', 'decides weights, order and dropout', integer(0), 1)
    .option('--save <file>', 'write network and training state after every epoch (.safetensors)')
    .option('--resume <file>', 'go on from what --save wrote')
    .option('--json', 'one JSON object a line on stdout')
    .addHelpText(
      'after',
      examples(
        'forja train lenet5',
        'forja train mlp --data fashion-mnist --epochs 10 --lr 0.0005 --save mlp.safetensors',
        'forja train mlp --data fashion-mnist --epochs 20 --resume mlp.safetensors --save mlp.safetensors',
        'forja train mlp --data housing',
      ),
    )
    .action((model: string, options: Options) => train(model, options))
}

async function train(name: string, options: Options): Promise<void> {
  const output = new Output(options.json === true)
  const info = models.list().find((model) => model.name === name)!
  checkTrainable(info)
  const resolved = resolveDevice(options.device)
  const device = resolved.id
  checkPrecision('train', options.precision, resolved)
  if (options.threads !== undefined) await setThreads(options.threads)
  if (options.save !== undefined) await checkWritable('--save', options.save)
  if (options.resume !== undefined) await checkReadable('--resume', options.resume)
  const interrupt = interruptible()
  const recipe = recipeFor(name, options.data)
  const { data, splits: loaded } = await loadData(recipe, options, output, interrupt.signal)
  const task = taskOf(info, data, loaded)
  const { splits } = task

  setSeed(options.seed)
  const model = models.create(name, task.modelOptions)
  const optimizerName = options.optimizer ?? recipe.optimizer
  const lr = options.lr ?? (optimizerName === recipe.optimizer ? recipe.lr : undefined)
  const optimizer = makeOptimizer(optimizerName, model.parameters(), lr)
  const decay = options.optimizer === undefined && options.lr === undefined ? (recipe.decay ?? 1) : 1
  const schedule = decay < 1 ? new ExponentialLR(optimizer, { gamma: decay }) : undefined
  const start = options.resume ? await resume(options, { model, optimizer, schedule, device }, output) : 0
  const epochs = options.epochs ?? recipe.epochs
  const batchSize = options.batchSize ?? recipe.batchSize
  const parameters = model.parameters().reduce((total, parameter) => total + parameter.size, 0)
  output.say(
    `${name}, ${parameters.toLocaleString('en')} parameters · ${data}, ${splits.train.length.toLocaleString('en')} samples · ` +
      `${optimizerName}, lr ${optimizer.lr}${schedule ? `, times ${decay} an epoch` : ''}, batches of ${batchSize} · ${device}`,
  )

  let saved = start
  let last: EpochLogs | undefined
  const begin = performance.now()
  let trained = { samples: 0, seconds: 0 }
  const onEpochEnd = async (logs: EpochLogs): Promise<void> => {
    last = logs
    trained = { samples: trained.samples + splits.train.length, seconds: trained.seconds + logs.seconds }
    output.event('epoch', epochEvent(logs, epochs))
    if (options.save === undefined) return
    await saveCheckpoint(options.save, {
      model,
      optimizer,
      schedule,
      device,
      epoch: logs.epoch,
      metadata: { 'forja.model': name },
    })
    saved = logs.epoch
  }
  try {
    await trainOn(model, recipe.augment ? augment(splits.train, recipe.augment) : splits.train, task, {
      optimizer,
      epochs,
      initialEpoch: start,
      batchSize,
      schedule,
      validation: splits.test,
      device,
      precision: options.precision,
      seed: options.seed,
      signal: interrupt.signal,
      callbacks: [{ onEpochEnd }],
    })
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    const where = options.save && saved > 0 ? `; epoch ${saved} is in ${options.save}` : ''
    const complete = last?.epoch ?? start
    throw new Interrupted(
      `interrupted after ${complete} complete epoch${complete === 1 ? '' : 's'}${where}`,
      error.signal,
    )
  } finally {
    interrupt.dispose()
  }
  const { valLoss: testLoss, valAccuracy: testAccuracy } = last ?? (await measure(model, task, device))
  const testR2 = task.loss === 'mseLoss' ? 1 - testLoss! / varianceOf(splits.test.y) : undefined
  const testError = task.loss === 'own' ? await models.reconstructionError(model, splits.test, { device }) : undefined
  const figure =
    testR2 !== undefined
      ? `R² ${testR2.toFixed(3)}`
      : testError !== undefined
        ? `mean squared error of a pixel ${testError.toFixed(4)}`
        : `accuracy ${(100 * testAccuracy!).toFixed(2)} %`
  const seconds = (performance.now() - begin) / 1000
  const imagesPerSecond = trained.seconds > 0 ? trained.samples / trained.seconds : 0
  output.result(
    `test ${figure}, test loss ${testLoss!.toPrecision(4)}, ` +
      `${Math.round(imagesPerSecond).toLocaleString('en')} images/s, ${seconds.toFixed(1)} s`,
    {
      model: name,
      data,
      device,
      epochs: last?.epoch ?? start,
      parameters,
      trainLoss: last?.loss ?? null,
      testLoss,
      testAccuracy: testAccuracy ?? null,
      ...(testR2 === undefined ? {} : { testR2 }),
      ...(testError === undefined ? {} : { testError }),
      imagesPerSecond,
      seconds,
    },
  )
}

function epochEvent(logs: EpochLogs, epochs: number): object {
  const { epoch, loss, accuracy, valLoss, valAccuracy, lr, seconds, samplesPerSecond } = logs
  return {
    epoch,
    epochs,
    trainLoss: loss,
    trainAccuracy: accuracy,
    testLoss: valLoss,
    testAccuracy: valAccuracy,
    lr,
    seconds,
    imagesPerSecond: samplesPerSecond,
  }
}

function trainOn(
  model: models.Network,
  train: Dataset,
  { loss, metrics }: Task,
  options: models.UnsupervisedFitOptions,
) {
  if (loss === 'own') return models.fitUnsupervised(model as models.Unsupervised, train, options)
  return fit(model, train, { ...options, loss, metrics })
}

/** The figures of a network that nothing was left to train of. */
async function measure(model: models.Network, { splits, loss: name, metrics }: Task, device: string) {
  const { loss, accuracy } =
    name === 'own'
      ? await models.evaluateUnsupervised(model as models.Unsupervised, splits.test, { device })
      : await evaluateModel(model, splits.test, { loss: name, metrics, device })
  return { valLoss: loss, valAccuracy: accuracy }
}

/** The data set asked for; else the first of the recipe's that can be had, saying which and why. */
async function loadData(
  recipe: Recipe,
  options: Options,
  output: Output,
  signal: AbortSignal,
): Promise<{ data: string; splits: Splits }> {
  const load = (name: string): Promise<Splits> =>
    DATASETS[name]!.load({ dir: options.dataDir, offline: options.offline, signal })
  if (options.data !== undefined) return { data: options.data, splits: await load(options.data) }
  for (const [i, data] of recipe.data.entries()) {
    try {
      return { data, splits: await load(data) }
    } catch (error) {
      const next = recipe.data[i + 1]
      const missing = error instanceof ForjaError && (error.code === 'ERR_OFFLINE' || error.code === 'ERR_CHECKSUM')
      if (!missing || next === undefined) throw error
      output.say(`using '${next}' (${DATASETS[next]!.description}), since ${error.message.split('\n')[0]}`)
    }
  }
  throw new ForjaError('ERR_INTERNAL', 'the recipe names no data')
}

function varianceOf(values: ArrayLike<number>): number {
  const list = Array.from(values)
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length
  return list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / list.length
}

async function resume(
  options: Options,
  run: { model: models.Network; optimizer: Optimizer; schedule: ExponentialLR | undefined; device: string },
  output: Output,
): Promise<number> {
  const { epoch, step } = await loadCheckpoint(options.resume!, run)
  if (step > 0) {
    throw new ForjaError('ERR_ARGUMENT', `${options.resume} was written after step ${step} of epoch ${epoch + 1}`, {
      hint: 'the command line goes on from whole epochs; fit(model, data, { resume }) from any step',
    })
  }
  if (options.lr !== undefined) run.optimizer.lr = options.lr
  output.say(`going on after epoch ${epoch} of ${options.resume}`)
  return epoch
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** A signal that Ctrl-C and `kill` raise; a second one ends the process at once. */
function interruptible(): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController()
  const dispose = (): void => {
    for (const signal of SIGNALS) process.off(signal, stop)
  }
  const stop = (signal: (typeof SIGNALS)[number]): void => {
    dispose()
    controller.abort(new Interrupted('interrupted', signal))
  }
  for (const signal of SIGNALS) process.on(signal, stop)
  return { signal: controller.signal, dispose }
}
