// A WebSocket client that shows close codes, odd timing and frames exactly as the server wrote them.

import net from 'node:net'
import { within } from './events.mjs'
import { OP, close, frame, readFrame } from './frames.mjs'
import { handshakeText } from './http.mjs'
import { Peer } from './peer.mjs'
import { response } from './requests.mjs'

/** A client over any stream. It keeps the frames that came until the test asks for them. */
export class WebSocket {
  /** Code of the server's close frame: `undefined` without a frame, 1005 without a code. */
  closeCode
  #peer
  #messages = []
  #waiting = []
  #isDeaf

  /** @param {{ isDeaf?: boolean }} [options] a deaf peer does not answer a close frame */
  constructor(stream, { isDeaf = false } = {}) {
    this.stream = stream
    this.#isDeaf = isDeaf
    this.#peer = new Peer(stream, { patience: Number.POSITIVE_INFINITY })
    /** Resolves when the server has accepted the WebSocket. */
    this.opened = this.#open()
    /** Resolves when the server has ended the connection. */
    this.ended = new Promise((resolve) => {
      stream.on('end', resolve)
      stream.on('close', resolve)
    })
  }

  /** Connects and performs the opening handshake. */
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

  async #open() {
    const { status, line } = await response(this.#peer)
    if (status !== 101) throw new Error(`refused: ${line}`)
    this.#read().catch((error) => {
      for (const { reject } of this.#waiting.splice(0)) reject(error)
    })
    return this
  }

  /** The next message. */
  message() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift())
    const arrival = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    return within(arrival, 'a message')
  }

  send(data, opcode = typeof data === 'string' ? OP.TEXT : OP.BINARY) {
    this.stream.write(frame(opcode, data))
  }

  close() {
    this.stream.end(close())
  }

  /** Takes frames until the connection ends. */
  async #read() {
    for (;;) {
      const received = await readFrame(this.#peer)
      if (received.opcode === OP.CLOSE) this.#answerClose(received.payload)
      if (received.opcode > OP.BINARY) continue
      const waiting = this.#waiting.shift()
      if (waiting) waiting.resolve(received)
      else this.#messages.push(received)
    }
  }

  #answerClose(payload) {
    this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
    if (!this.#isDeaf) this.stream.end(frame(OP.CLOSE, payload))
  }
}

function requestText(path, headers) {
  const query = path.indexOf('?')
  const text = handshakeText('websocket', { path: path.slice(0, query), headers })
  return text.replace(/\?EIO=4&transport=websocket/, path.slice(query))
}
