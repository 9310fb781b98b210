// A WebSocket client down to its bytes: for close codes, odd timing and what is written verbatim.

import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { within } from './events.mjs'
import { handshakeText } from './http.mjs'

export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

/** The bytes of a masked frame. */
export function masked(opcode, payload) {
  const body = Buffer.from(payload)
  const mask = randomBytes(4)
  const { length } = body
  const head =
    length < 126
      ? Buffer.from([0x80 | opcode, 0x80 | length])
      : length < 65_536
        ? Buffer.from([0x80 | opcode, 0xfe, length >> 8, length & 255])
        : Buffer.concat([Buffer.from([0x80 | opcode, 0xff, 0, 0, 0, 0]), uint32(length)])
  return Buffer.concat([head, mask, body.map((byte, index) => byte ^ mask[index & 3])])
}

function uint32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A client over any stream. Frames that came are kept until somebody asks for them. */
export class WebSocket {
  /** Frames: `{ opcode, payload, text }`. */
  frames = []
  /** The status line of the answer. */
  status
  /** Code of the server's close frame, `undefined` without one, 1005 for one without code. */
  closeCode
  #rest = Buffer.alloc(0)
  #waiting = []
  #isDeaf

  /** @param {{ isDeaf?: boolean }} [manners] a deaf peer does not answer a close frame */
  constructor(stream, { isDeaf = false } = {}) {
    this.stream = stream
    this.#isDeaf = isDeaf
    this.opened = new Promise((resolve, reject) => {
      this.#waiting.push({ head: true, resolve, reject })
    })
    /** Resolves when the server has ended the connection. */
    this.ended = new Promise((resolve) => {
      stream.on('end', resolve)
      stream.on('close', resolve)
    })
    stream.on('error', () => {})
    stream.on('data', (chunk) => this.#receive(chunk))
    stream.on('close', () => {
      for (const { reject } of this.#waiting.splice(0))
        reject(new Error('the connection was closed'))
    })
  }

  /** Connects and shakes hands. */
  static async open(
    t,
    port,
    { path = '/socket.io/?EIO=4&transport=websocket', early = '', headers = '', isDeaf } = {},
  ) {
    const stream = net.connect(port, '127.0.0.1')
    t.after(() => stream.destroy())
    const socket = new WebSocket(stream, { isDeaf })
    stream.write(Buffer.concat([Buffer.from(requestText(path, headers)), Buffer.from(early)]))
    await within(socket.opened, 'a WebSocket to open')
    return socket
  }

  /** The next message or, with `any`, frame of any kind. */
  message() {
    return within(
      this.#next(({ opcode }) => opcode <= BINARY),
      'a message',
    )
  }

  #next(wanted) {
    const index = this.frames.findIndex(wanted)
    if (index >= 0) return Promise.resolve(this.frames.splice(index, 1)[0])
    return new Promise((resolve, reject) => this.#waiting.push({ wanted, resolve, reject }))
  }

  send(data, opcode = typeof data === 'string' ? TEXT : BINARY) {
    this.stream.write(masked(opcode, data))
  }

  close() {
    this.stream.end(masked(CLOSE, ''))
  }

  #receive(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk])
    if (this.status === undefined && !this.#readHead()) return
    while (this.#readFrame());
  }

  #readHead() {
    const end = this.#rest.indexOf('\r\n\r\n')
    if (end < 0) return false
    this.head = this.#rest.toString('latin1', 0, end)
    this.status = Number(this.head.split(' ')[1])
    this.#rest = this.#rest.subarray(end + 4)
    const { resolve, reject } = this.#waiting.shift()
    if (this.status === 101) resolve(this)
    else reject(new Error(`refused: ${this.head.split('\r\n')[0]}`))
    return this.status === 101
  }

  #readFrame() {
    const bytes = this.#rest
    if (bytes.length < 2) return false
    let length = bytes[1] & 127
    let start = 2
    if (length === 126) {
      if (bytes.length < 4) return false
      length = bytes.readUInt16BE(2)
      start = 4
    } else if (length === 127) {
      if (bytes.length < 10) return false
      length = Number(bytes.readBigUInt64BE(2))
      start = 10
    }
    if (bytes.length < start + length) return false
    const payload = bytes.subarray(start, start + length)
    this.#rest = bytes.subarray(start + length)
    this.#take({ opcode: bytes[0] & 15, first: bytes[0], payload, text: payload.toString() })
    return true
  }

  #take(frame) {
    if (frame.opcode === CLOSE) {
      this.closeCode = frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005
      if (!this.#isDeaf) this.stream.end(masked(CLOSE, frame.payload))
    }
    const index = this.#waiting.findIndex(({ wanted }) => wanted?.(frame))
    if (index >= 0) this.#waiting.splice(index, 1)[0].resolve(frame)
    else this.frames.push(frame)
  }
}

function requestText(path, headers) {
  const query = path.indexOf('?')
  const text = handshakeText('websocket', { path: path.slice(0, query), headers })
  return text.replace(/\?EIO=4&transport=websocket/, path.slice(query))
}
