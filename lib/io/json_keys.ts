/**
 * JSON.parse keeps the last of two equal keys and says nothing; a format that forbids them needs to look itself.
 */

/** The first key that one object of `text`, at any depth, names twice. @param text valid JSON */
export function findDuplicateKey(text: string): { key: string; at: number } | undefined {
  /** Keys of the objects that are open; undefined for an array. */
  const open: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '{') open.push(new Set())
    else if (character === '[') open.push(undefined)
    else if (character === '}' || character === ']') open.pop()
    else if (character === '"') {
      const start = at
      for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
      const keys = open.at(-1)
      if (keys === undefined || !isKey(text, at + 1)) continue
      const key = JSON.parse(text.slice(start, at + 1)) as string
      if (keys.has(key)) return { key, at: start }
      keys.add(key)
    }
  }
  return undefined
}

/** Whether the string that ends before `at` is followed by a colon. */
function isKey(text: string, at: number): boolean {
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++
  return text[at] === ':'
}
