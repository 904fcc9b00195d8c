/** `forja data ls|get|verify|path`: data sets, their mirrors, checksums and places. */
import { type Command, InvalidArgumentError } from 'commander'
import { dataFolders, findFile, findUnpacked, locateFile, verifyFile } from '../data/cache.js'
import { SOURCES, type Source } from '../data/sources.js'
import { ForjaError } from '../errors.js'
import { GENERATED } from './datasets.js'
import { examples, Output, table } from './output.js'

interface Options {
  dataDir?: string
  json?: boolean
  offline?: boolean
  mirror?: string
}

const sources: readonly Source[] = Object.values(SOURCES)
const names = sources.map((source) => source.name).join(', ')

export function addData(program: Command): void {
  const data = program
    .command('data')
    .description('data sets: list, fetch, verify, locate')
    .addHelpText('after', examples('forja data ls', 'forja data get mnist'))
  const verb = (name: string, argument: string | undefined, description: string, lines: string[]): Command => {
    const command = data.command(name).description(description)
    if (argument) command.argument(argument, `one of ${names}`, parseSource)
    return command
      .option('--data-dir <dir>', 'look here first')
      .option('--json', 'one JSON object a line on stdout')
      .addHelpText('after', examples(...lines))
  }
  verb('ls', undefined, 'every data set, and whether it is on this machine', [
    'forja data ls',
    'forja data ls --json',
  ]).action((options: Options) => list(options))
  verb('get', '<name>', 'fetch a data set into the cache', ['forja data get mnist', 'forja data get fashion-mnist'])
    .option('--mirror <url>', 'the folder of a server, tried before the mirrors that are known')
    .option('--offline', 'never fetch, only say what is missing; also FORJA_OFFLINE=1')
    .action((source: Source, options: Options) => get(source, options))
  verb('verify', '<name>', 'compare the files with their published checksums', [
    'forja data verify mnist',
    'forja data verify mnist --data-dir /srv/data',
  ]).action((source: Source, options: Options) => verify(source, options))
  verb('path', '[name]', 'where the files lie, or the folders that are searched', [
    'forja data path',
    'forja data path mnist',
  ]).action((source: Source | undefined, options: Options) => path(source, options))
}

function parseSource(name: string): Source {
  const source = sources.find((candidate) => candidate.name === name)
  if (!source) throw new InvalidArgumentError(`Expected one of ${names}.`)
  return source
}

/** Paths of the files that are here, or of another form of the set. */
async function found(source: Source, options: Options): Promise<string[]> {
  const unpacked = await findUnpacked(source, { dir: options.dataDir })
  if (unpacked !== undefined) return [unpacked]
  const paths = await Promise.all(source.files.map((file) => findFile(source, file, { dir: options.dataDir })))
  return paths.filter((path) => path !== undefined)
}

async function list(options: Options): Promise<void> {
  const datasets = await Promise.all(
    sources.map(async ({ name, title, license, mirrors, files }, i) => ({
      name,
      title,
      license,
      bytes: files.reduce((total, file) => total + file.bytes, 0),
      present: (await found(sources[i]!, options)).length === files.length,
      mirrors,
    })),
  )
  const rows = datasets.map((set) => [
    set.name,
    set.title,
    `${(set.bytes / 1e6).toFixed(1)} MB`,
    set.license,
    set.present ? 'here' : set.mirrors.length > 0 ? `fetch with: forja data get ${set.name}` : 'not fetched: no mirror',
  ])
  for (const [name, { description }] of Object.entries(GENERATED)) {
    rows.push([name, description.split(',')[0]!, '', '', 'always here'])
  }
  new Output(options.json === true).result(table(rows), { datasets })
}

async function get(source: Source, options: Options): Promise<void> {
  const output = new Output(options.json === true)
  const unpacked = await findUnpacked(source, { dir: options.dataDir })
  const paths = unpacked === undefined ? [] : [unpacked]
  for (const file of unpacked === undefined ? source.files : []) {
    let shown = 0
    const path = await locateFile(source, file, {
      dir: options.dataDir,
      offline: options.offline,
      mirror: options.mirror,
      onProgress: ({ received, total }) => {
        const percent = Math.floor((100 * received) / total)
        if (percent < shown + 25) return
        shown = percent
        output.say(`${file.name}  ${percent} %`)
      },
    })
    paths.push(path)
  }
  output.result(paths.join('\n'), { name: source.name, paths })
}

async function verify(source: Source, options: Options): Promise<void> {
  const output = new Output(options.json === true)
  const paths: string[] = []
  const unpacked = await findUnpacked(source, { dir: options.dataDir })
  if (unpacked !== undefined) {
    const published = source.files.map((file) => file.name).join(', ')
    throw new ForjaError('ERR_CHECKSUM', `${unpacked}: no checksum of this form of ${source.title} is published`, {
      hint: `There is one of ${published}.`,
    })
  }
  for (const file of source.files) {
    const path = await findFile(source, file, { dir: options.dataDir })
    if (path === undefined) {
      throw new ForjaError('ERR_ARGUMENT', `${source.name}: ${file.name} is not on this machine`, {
        hint: `fetch it with: forja data get ${source.name}`,
      })
    }
    await verifyFile(path, file)
    paths.push(path)
  }
  output.result(paths.map((path) => `ok  ${path}`).join('\n'), { name: source.name, verified: true, paths })
}

async function path(source: Source | undefined, options: Options): Promise<void> {
  const output = new Output(options.json === true)
  if (source === undefined) {
    const folders = dataFolders({ dir: options.dataDir })
    output.result(table(folders.map((folder) => [folder.path, folder.origin])), { folders })
    return
  }
  const paths = await found(source, options)
  if (paths.length < source.files.length) {
    throw new ForjaError('ERR_ARGUMENT', `${source.name} is not complete on this machine`, {
      hint: `fetch it with: forja data get ${source.name}`,
    })
  }
  output.result(paths.join('\n'), { name: source.name, paths })
}
