/**
 * Saving and loading the parameters and buffers of a module as safetensors: PyTorch's names and layouts, so that
 * weights move both ways. Metadata: format 'pt' (the layouts are PyTorch's), producer, architecture (the class).
 * ONNX models are read, too.
 */
import { fromData } from '../create.js'
import { type LoadOptions, type LoadReport, loadVariables } from '../nn/load_state.js'
import { type AnyModule, requireModule } from '../nn/module.js'
import { checkOptions } from '../options.js'
import type { Tensor } from '../tensor.js'
import { writeFileAtomic } from './atomic.js'
import { decodeOnnx } from './onnx.js'
import { readFileWhole } from './read.js'
import { decodeSafetensors, encodeSafetensors } from './safetensors.js'
import type { StoredTensor } from './stored.js'

/** What lies beside the model: the tensors of each part begin with its prefix in the file, and load() leaves them out. */
const PREFIXES = { optimizer: '__optimizer__.', callbacks: '__callbacks__.' } as const
const PARTS = Object.keys(PREFIXES) as (keyof typeof PREFIXES)[]

export interface SaveOptions {
  /** The state of an optimizer, written beside the model's. */
  optimizer?: Readonly<Record<string, Tensor>>
  /** @internal What callbacks of fit() keep. */
  callbacks?: Readonly<Record<string, Tensor>>
  /** Kept in the file next to forja's own entries. */
  metadata?: Readonly<Record<string, string>>
}

/**
 * Writes parameters and buffers to a .safetensors file, which is never left half written.
 *
 * @throws ERR_ARGUMENT where the file cannot be written.
 */
export async function save(model: AnyModule, path: string, options: SaveOptions = {}): Promise<void> {
  requireModule('save', model)
  checkOptions('save', options, ['optimizer', 'callbacks', 'metadata'])
  const tensors = new Map<string, StoredTensor>()
  const beside = PARTS.flatMap((part) =>
    Object.entries(options[part] ?? {}).map(([name, tensor]) => [PREFIXES[part] + name, tensor] as const),
  )
  for (const [name, tensor] of [...Object.entries(await model.stateDict()), ...beside]) {
    tensors.set(name, { dtype: tensor.dtype, shape: tensor.shape, data: await tensor.data() })
  }
  const metadata = { format: 'pt', producer: 'forja', architecture: model.constructor.name, ...options.metadata }
  await writeFileAtomic(path, ...encodeSafetensors(tensors, metadata))
}

/**
 * Reads a .safetensors file, or the weights of an .onnx file, into `model`; nothing changes where something does not fit.
 *
 * Of an ONNX model the initializers are read: float, float16, bfloat16, double (rounded to float32), bool and integers
 * (as int32, uint8 stays). They have the names of PyTorch's state dictionary as far as its exporter keeps them:
 *
 *     torch.onnx.export(net, x, 'net.onnx', do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)
 *
 * keeps all but num_batches_tracked, which needs strict: false. By default it folds batch norms into convolutions and
 * transposes weights of products: those are called 'onnx::Conv_16' or 'onnx::MatMul_7' and are unexpected, as what they
 * were made of is missing. Weights that are no initializers (a Constant or Identity node's, another file's) are not read.
 *
 * @param options strict: false ignores names that only one side has.
 * @returns names that only one side has: empty lists unless strict is false.
 * @throws ERR_FORMAT for a broken file; ERR_ARGUMENT for a file that cannot be read and for names that do not agree;
 *   ERR_SHAPE and ERR_DTYPE naming the tensor.
 */
export async function load(model: AnyModule, path: string, options: LoadOptions = {}): Promise<LoadReport> {
  requireModule('load', model)
  checkOptions('load', options, ['strict'])
  const { state, hint } = await readModel(model, path)
  return await loadVariables(model.namedVariables(), state, options, path, hint)
}

/**
 * @internal A file taken apart: what is for `model` to take, and what else it holds. Errors as load()'s of the file.
 */
export async function readModel(
  model: AnyModule,
  path: string,
): Promise<{
  state: Record<string, Tensor>
  /** What lies beside it. */
  optimizer: Record<string, Tensor>
  callbacks: Record<string, Tensor>
  metadata: Record<string, string>
  /** Where the file names another class of network. */
  hint: string | undefined
}> {
  const bytes = await readFileWhole(path)
  const { tensors, metadata } = /\.onnx$/i.test(path) ? decodeOnnx(bytes, path) : decodeSafetensors(bytes, path)
  const none = (): Record<string, Tensor> => Object.create(null)
  const [state, beside] = [none(), { optimizer: none(), callbacks: none() }]
  for (const [name, { data, shape, dtype }] of tensors) {
    const part = PARTS.find((known) => name.startsWith(PREFIXES[known]))
    if (part === undefined) state[name] = fromData(data, shape, dtype, name)
    else beside[part][name.slice(PREFIXES[part].length)] = fromData(data, shape, dtype)
  }
  const [saved, given] = [metadata.architecture, model.constructor.name]
  const hint = saved !== undefined && saved !== given ? `the file holds a ${saved}, the model is a ${given}` : undefined
  return { state, ...beside, metadata, hint }
}
