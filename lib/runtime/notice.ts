/** What a user should know of although nothing failed, such as a slower way that had to be taken. */

const said = new Set<string>()

/** One line on stderr, the first time that a process has it to say. */
export function notice(text: string): void {
  if (said.has(text)) return
  said.add(text)
  process.stderr.write(`forja: ${text}\n`)
}
