// A client of bench/compression.mjs: a WebSocket that offers compression, and sends prebuilt frames, so that it
// costs little beside the server.

import { once } from 'node:events'
import { connect } from 'node:net'
import { constants, createInflateRaw, deflateRawSync } from 'node:zlib'

const TAIL = Buffer.from([0, 0, 0xff, 0xff])

/** About 2 KiB of JSON, as an app may send it. */
export const text = JSON.stringify(
  Array.from({ length: 30 }, (_, id) => ({
    id: 7_919 * id,
    name: `player-${(id * 31_337) % 997}`,
    x: ((id * 104_729) % 10_007) / 7,
    y: ((id * 1_299_709) % 10_007) / 7,
  })),
)

/** A masked frame with a compressed message. The mask is zero, so that the bytes are those of the message. */
function compressed(message) {
  const flushed = deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH })
  const payload = flushed.subarray(0, -TAIL.length)
  const head = Buffer.from([
    0xc1,
    0x80 | 126,
    payload.length >> 8,
    payload.length & 255,
    0,
    0,
    0,
    0,
  ])
  return Buffer.concat([head, payload])
}

const ECHO = compressed(`42${JSON.stringify(['echo', text])}`)
const ANSWER = `42${JSON.stringify(['echo', text])}`
const NEWS = `42${JSON.stringify(['news', text])}`

export class CompressedClient {
  isWrong = false
  /** Resolves when every message that has come is checked. */
  checked = Promise.resolve()
  #socket
  #rest = Buffer.alloc(0)
  #inflate
  #keepsContext
  /** Frames that have come: the open packet, the answer to CONNECT, and then events. */
  #frames = 0
  #isRunning = false
  #arrival
  #stopped

  /** Opens a WebSocket and connects to the namespace. */
  static async open(port, isChecked) {
    const client = new CompressedClient()
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    client.#socket = socket
    socket.write(
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\n' +
        'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
        'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n',
    )
    let bytes = ''
    while (!bytes.includes('\r\n\r\n')) bytes += (await once(socket, 'data'))[0].toString('latin1')
    const [head] = bytes.split('\r\n\r\n', 1)
    if (!head.includes('permessage-deflate')) throw new Error(`no compression: ${head}`)
    client.#keepsContext = !head.includes('server_no_context_takeover')
    client.#inflate = isChecked ? createInflateRaw() : undefined
    const connected = client.next()
    socket.on('data', (data) => client.#read(data))
    client.#read(Buffer.from(bytes.slice(head.length + 4), 'latin1'))
    socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]))
    await connected
    return client
  }

  /** Resolves at the next event, or once the namespace is connected. */
  next() {
    return new Promise((resolve) => {
      this.#arrival = resolve
    })
  }

  /** Sends an echo whenever the last one has come back. */
  start() {
    this.#isRunning = true
    this.#socket.write(ECHO)
  }

  /** Resolves when no echo is outstanding. */
  stop() {
    this.#isRunning = false
    return new Promise((resolve) => {
      this.#stopped = resolve
    })
  }

  end() {
    this.#socket.destroy()
  }

  #read(data) {
    let rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data
    while (rest.length >= 2) {
      const isLong = rest[1] === 126
      if (isLong && rest.length < 4) break
      const start = isLong ? 4 : 2
      const end = start + (isLong ? rest.readUInt16BE(2) : rest[1])
      if (rest.length < end) break
      this.#onFrame(rest[0], rest.subarray(start, end))
      rest = rest.subarray(end)
    }
    this.#rest = rest
  }

  #onFrame(first, payload) {
    this.#frames++
    if (first === 0xc1) this.#check(payload)
    if (this.#frames === 1) return
    this.#arrival?.()
    this.#arrival = undefined
    if (this.#frames === 2) return
    // All events are long enough to be compressed.
    if (first !== 0xc1) this.isWrong = true
    if (this.#isRunning) this.#socket.write(ECHO)
    else this.#stopped?.()
  }

  /** Inflates a message after those before it, and compares it. */
  #check(payload) {
    const inflate = this.#inflate
    if (inflate === undefined) return
    this.checked = this.checked.then(async () => {
      const message = await inflateOne(this.#keepsContext ? inflate : createInflateRaw(), payload)
      const isEvent = message.startsWith('42[')
      if (isEvent && message !== ANSWER && message !== NEWS) this.isWrong = true
    })
  }
}

/** One message of a stream of them. */
async function inflateOne(inflate, payload) {
  let inflated = ''
  const collect = (chunk) => {
    inflated += chunk
  }
  inflate.on('data', collect)
  inflate.write(Buffer.concat([payload, TAIL]))
  await new Promise((resolve) => inflate.flush(resolve))
  inflate.off('data', collect)
  return inflated
}
