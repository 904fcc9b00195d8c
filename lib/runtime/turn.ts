/**
 * Program order: what was called first takes effect first. A call that cannot be handed to its device at once, since
 * something is compiled, moved or evaluated for it, holds the variables that it reads or writes until it has started; later
 * calls of these start after it. Devices run in the order of starts, so nobody waits for an end.
 */
import type { VariableState } from './state.js'

/** A call that was handed to its device. In a box: waiting for the start does not wait for the result. */
export interface Started<T> {
  readonly result: T | Promise<T>
}

/** Calls that hold variables. */
let holders = 0

/** Whether a call of `variables` starts at once. */
export function mayStart(variables: readonly VariableState[]): boolean {
  return holders === 0 || variables.every(({ starting }) => starting === null)
}

/** The result of `start`, when all earlier calls of `variables` have started; at once where none waits. */
export async function inTurn<T>(
  variables: readonly VariableState[],
  start: () => Started<T> | Promise<Started<T>>,
): Promise<T> {
  const before = mayStart(variables) ? [] : variables.flatMap(({ starting }) => starting ?? [])
  const started = before.length > 0 ? Promise.all(new Set(before)).then(start) : start()
  if (!(started instanceof Promise)) return await started.result
  if (variables.length > 0) hold(variables, started)
  return await (await started).result
}

function hold(variables: readonly VariableState[], started: Promise<unknown>): void {
  const over: Promise<void> = started.then(release, release)
  function release(): void {
    holders--
    for (const variable of variables) if (variable.starting === over) variable.starting = null
  }
  holders++
  for (const variable of variables) variable.starting = over
}
