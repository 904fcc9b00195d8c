/** Scripts of test/native/children run in a Node process of their own: what may crash, hang or exit. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

export interface ChildOptions {
  args?: readonly string[]
  env?: Record<string, string>
  nodeArgs?: readonly string[]
  /** Killed then, which shows as signal SIGKILL. */
  timeoutMs?: number
}

export interface ChildResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  ms: number
}

export function runChild(script: string, options: ChildOptions = {}): Promise<ChildResult> {
  return spawnChild(script, options).end
}

export interface Child {
  readonly end: Promise<ChildResult>
  /** When the child has printed something. */
  line(): Promise<void>
  /** By SIGKILL. */
  kill(): void
}

export function spawnChild(script: string, options: ChildOptions = {}): Child {
  const file = fileURLToPath(new URL(`../native/children/${script}.mjs`, import.meta.url))
  const began = performance.now()
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), file, ...(options.args ?? [])], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 50_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text) => (stdout += text))
  child.stderr.on('data', (text) => (stderr += text))
  const end = new Promise<ChildResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, ms: performance.now() - began }))
  })
  return {
    end,
    line: () =>
      new Promise((resolve, reject) => {
        child.stdout.once('data', () => resolve())
        child.once('close', () => reject(new Error(`${script} printed nothing:\n${stderr}`)))
      }),
    kill: () => child.kill('SIGKILL'),
  }
}

/** Runs a script that must end with `code` by itself; its last line of output, parsed. */
export async function runChildJson<T>(script: string, options: ChildOptions = {}, code = 0): Promise<T> {
  const result = await runChild(script, options)
  expect({ code: result.code, signal: result.signal, stderr: result.stderr }).toEqual({
    code,
    signal: null,
    stderr: expect.any(String),
  })
  const line = result.stdout.trim().split('\n').at(-1) ?? ''
  try {
    return JSON.parse(line) as T
  } catch {
    throw new Error(`${script} printed no JSON:\n${result.stdout}\n${result.stderr}`)
  }
}
