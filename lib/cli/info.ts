/** `forja info`: what this machine offers and which binary runs. */
import type { Command } from 'commander'
import { addonPath } from '../runtime/addon.js'
import { resolveDevice } from '../runtime/device.js'
import { type CpuDeviceInfo, cudaStatus, devices } from '../runtime/devices.js'
import { VERSION } from '../version.js'
import { examples, Output, table } from './output.js'

export function addInfo(program: Command): void {
  program
    .command('info')
    .description('devices, instruction set, threads and which native binary is used')
    .option('--json', 'one JSON object a line on stdout')
    .addHelpText('after', examples('forja info', 'forja info --json'))
    .action(async ({ json }: { json?: boolean }) => info(new Output(json === true)))
}

async function info(output: Output): Promise<void> {
  // What FORJA_ISA and FORJA_NUM_THREADS ask for is checked where the device is opened.
  resolveDevice('cpu')
  const { name, isa, threads } = (await devices()).find((device): device is CpuDeviceInfo => device.kind === 'cpu')!
  const cuda = await cudaStatus()
  const binary = { path: addonPath(), why: process.env.FORJA_NATIVE_PATH ? 'FORJA_NATIVE_PATH' : 'local build' }
  const rows = [
    ['forja', VERSION],
    ['node', `${process.version} (${process.platform}-${process.arch})`],
    ['cpu', name],
    ['isa', isa + (process.env.FORJA_ISA ? ' (forced by FORJA_ISA)' : '')],
    ['threads', String(threads)],
    ['cuda', cuda.available ? cuda.devices.map((device) => device.name).join(', ') : `no: ${cuda.reason}`],
    ...cuda.libraries.map(({ name, available, version, path, reason }) => [
      name.toLowerCase(),
      available ? `${version} (${path})` : `no: ${reason}`,
    ]),
    ['binary', `${binary.path} (${binary.why})`],
  ]
  output.result(table(rows), { version: VERSION, node: process.version, cpu: { name, isa, threads }, cuda, binary })
}
