'use strict'

const { EventEmitter } = require('node:events')

/** The transport of a session as engine.io shows it; made when somebody asks. */
class Transport extends EventEmitter {
  #socket
  #name

  constructor(socket, name) {
    super()
    this.#socket = socket
    this.#name = name
  }

  /** `polling` or `websocket`. */
  get name() {
    return this.#name
  }

  get sid() {
    return this.#socket.id
  }

  get protocol() {
    return this.#socket.protocol
  }

  /** Whether a volatile packet would be sent now. */
  get writable() {
    return this.#socket._isWritable(this.#name)
  }

  get discarded() {
    return this.#name !== this.#socket._transportName
  }

  get readyState() {
    return this.discarded ? 'closed' : this.#socket.readyState
  }

  /** What the WebSocket library's object would tell; read-only. */
  get socket() {
    if (this.#name !== 'websocket') return undefined
    const socket = this.#socket
    return {
      get bufferedAmount() {
        return socket._unsent()
      },
      _socket: { remoteAddress: socket.remoteAddress },
    }
  }
}

module.exports = { Transport }
