// HTTP/1.1 as bytes: requests that tests write out, and a reader for the answers.

/** The nonce of RFC 6455, section 1.3, and the accept value it requires. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

/** The target of a valid polling request. */
export const POLLING = '/engine.io/?EIO=4&transport=polling'
/** The target of a valid WebSocket request. */
export const WEBSOCKET = '/engine.io/?EIO=4&transport=websocket'

/** The headers of a valid WebSocket request, in the order in which they are written. */
export const UPGRADE = {
  Host: '127.0.0.1',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Key': KEY,
  'Sec-WebSocket-Version': '13',
}

/** The bytes of a request. A header with an array is written once per value; `undefined` omits it. */
export function request(line, headers = { Host: '127.0.0.1' }, body = '') {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((each) => (each === undefined ? '' : `${name}: ${each}\r\n`)),
  )
  const head = `${line.includes(' HTTP/') ? line : `${line} HTTP/1.1`}\r\n${lines.join('')}\r\n`
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)])
}

/** A GET. */
export function get(target, headers = {}) {
  return request(`GET ${target}`, { Host: '127.0.0.1', ...headers })
}

/** A POST with Content-Length. */
export function post(target, body, headers = {}) {
  const length = Buffer.byteLength(body)
  return request(
    `POST ${target}`,
    { Host: '127.0.0.1', 'Content-Length': length, ...headers },
    body,
  )
}

/** A WebSocket request; `headers` replace or, with `undefined`, remove those of a valid one. */
export function upgrade(target = WEBSOCKET, headers = {}, method = 'GET') {
  return request(`${method} ${target}`, { ...UPGRADE, ...headers })
}

/**
 * Reads one response.
 * @param {import('./peer.mjs').Peer} peer
 * @returns {Promise<{ status: number, line: string, headers: Record<string, string>, body: Buffer,
 *   text: string, json: unknown }>}
 */
export async function response(peer, { isHead = false } = {}) {
  const head = (await peer.readThrough('\r\n\r\n')).toString('latin1')
  const [line, ...lines] = head.slice(0, -4).split('\r\n')
  const match = /^HTTP\/1\.1 (\d{3}) /.exec(line)
  if (!match) throw new Error(`not a status line: ${JSON.stringify(line)}`)
  const status = Number(match[1])
  const headers = Object.create(null)
  for (const each of lines) {
    const [, name, value] = /^([^\s:]+): ?(.*)$/.exec(each) ?? []
    if (name === undefined) throw new Error(`not a header: ${JSON.stringify(each)}`)
    const key = name.toLowerCase()
    headers[key] = key in headers ? `${headers[key]} | ${value}` : value
  }
  const hasNone = isHead || status === 101 || status === 204
  const body = hasNone ? Buffer.alloc(0) : await readBody(peer, headers)
  const text = body.toString()
  return {
    status,
    line,
    headers,
    body,
    text,
    get json() {
      return JSON.parse(text)
    },
  }
}

async function readBody(peer, headers) {
  if (headers['transfer-encoding'] === 'chunked') return readChunks(peer)
  if (headers['content-length'] === undefined) return peer.rest()
  return peer.read(Number(headers['content-length']))
}

async function readChunks(peer) {
  const chunks = []
  for (;;) {
    const size = Number.parseInt((await peer.readThrough('\r\n')).toString('latin1'), 16)
    const chunk = await peer.read(size)
    await peer.readThrough('\r\n')
    if (size === 0) return Buffer.concat(chunks)
    chunks.push(chunk)
  }
}
