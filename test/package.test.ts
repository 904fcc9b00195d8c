/** The package as npm packs it, and what a project that installs it gets: sources, scripts, dependencies, types. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const { scripts, dependencies, peerDependencies } = JSON.parse(read('package.json')) as Record<
  'scripts' | 'dependencies' | 'peerDependencies',
  Record<string, string>
>

it('builds the addon when it is installed, with what is installed with it', () => {
  expect(scripts.install).toBe('npm run build:native')
  expect(scripts['build:native']).toMatch(/^cmake-js /)
  expect(dependencies).toMatchObject({
    'cmake-js': expect.any(String),
    'node-addon-api': expect.any(String),
    'node-api-headers': expect.any(String), // without it cmake-js fetches Node's
  })
})

it('imports nothing that is not installed with it', () => {
  const sources = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'))
  const names = sources.flatMap((file) =>
    [...read(join('lib', file)).matchAll(/(?:from|import\(|require\(|require\.resolve\()\s*'([^'.][^']*)'/g)].map(
      ([, name]) => name!.split('/')[0]!,
    ),
  )
  const foreign = [...new Set(names)].filter((name) => !name.startsWith('node:') && name !== 'forja')
  expect(foreign).toContain('commander')
  expect(foreign.filter((name) => !(name in dependencies) && !(name in peerDependencies))).toEqual([])
})

it('holds what the addon is built of and the sources that its maps name, and no tests', () => {
  const json = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ files }] = JSON.parse(json) as [{ files: { path: string }[] }]
  const paths = new Set(files.map(({ path }) => path))
  const maps = [...paths].filter((path) => path.endsWith('.js.map'))
  expect(maps.length).toBeGreaterThan(100)
  const named = maps.map((map) => normalize(join(dirname(map), JSON.parse(read(map)).sources[0])))
  const needed = ['CMakeLists.txt', 'native/abi/program.h', 'native/napi/addon.cc', 'native/cuda/matmul.cu', ...named]
  expect(needed.filter((path) => !paths.has(path))).toEqual([])
  expect([...paths].filter((path) => path.startsWith('test/'))).toEqual([])
})

it("has types that need no others than Node's, and leave nothing unchecked", () => {
  const project = mkdtempSync(join(tmpdir(), 'forja-types-'))
  try {
    mkdirSync(join(project, 'node_modules'))
    symlinkSync(root, join(project, 'node_modules/forja'))
    const compilerOptions = {
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'], // no DOM
      module: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.mts'] }))
    writeFileSync(
      join(project, 'main.mts'),
      `import * as fj from 'forja'
      class Encoder extends fj.nn.Module<[x: fj.Tensor], { mean: fj.Tensor }> {
        fc = new fj.nn.Linear(4, 2)
        forward(x: fj.Tensor) { return { mean: this.fc.forward(x) } }
      }
      using mean = new Encoder().forward(fj.ones([1, 4])).mean
      export const chart: fj.plot.Chart = new fj.plot.Chart({ mark: 'point', title: String(await mean.array()) })\n`,
    )
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    let output = ''
    try {
      execFileSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8', stdio: 'pipe' })
    } catch (error) {
      output = (error as { stdout: string }).stdout
    }
    expect(output).toBe('')
  } finally {
    rmSync(project, { recursive: true })
  }
}, 60_000)
