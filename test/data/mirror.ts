/** A mirror on 127.0.0.1 whose behaviour a test decides, and a folder that is removed afterwards. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface Mirror {
  /** With a slash at its end. */
  url: string
  /** What was asked, in order: path, and the range or ''. */
  requests: { path: string; range: string }[]
}

export async function startMirror(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Mirror> {
  const requests: Mirror['requests'] = []
  const server = createServer((request, response) => {
    requests.push({ path: request.url ?? '', range: request.headers.range ?? '' })
    answer(request, response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    return new Promise<void>((done) => server.close(() => done()))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests }
}

/** Serves `bytes` as a web server does, ranges included. */
export function serve(bytes: Uint8Array) {
  return (request: IncomingMessage, response: ServerResponse) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (from >= bytes.length) response.writeHead(416).end()
    else if (from > 0) {
      response.writeHead(206, {
        'content-length': bytes.length - from,
        'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
      })
      response.end(bytes.subarray(from))
    } else response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
  }
}

/** Promises all, sends `count` bytes from where it was asked, and cuts the connection. */
export function breakAfter(count: number, bytes: Uint8Array) {
  return (request: IncomingMessage, response: ServerResponse) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (from + count >= bytes.length) return serve(bytes)(request, response)
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': bytes.length - from,
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    })
    response.write(bytes.subarray(from, from + count), () => setTimeout(() => response.destroy(), 20))
  }
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'forja-data-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}
