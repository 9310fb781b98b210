'use strict'

const { EventEmitter } = require('node:events')

/** A transport of a session: engine.io's `Transport`. Made when an app reads it. */
class Transport extends EventEmitter {
  #socket
  #name
  #webSocket

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

  /** Whether the session uses another transport now. */
  get discarded() {
    return this.#name !== this.#socket._transportState.name && !this.#isProbed
  }

  get readyState() {
    if (this.discarded) return 'closed'
    return this.#isProbed ? 'open' : this.#socket.readyState
  }

  get #isProbed() {
    return this.#socket._transportState.probed === this
  }

  /** Closes the session. */
  close() {
    this.#socket.close()
  }

  /** The WebSocket properties that apps read. */
  get socket() {
    if (this.#name !== 'websocket') return undefined
    this.#webSocket ??= new WebSocketFacade(this.#socket)
    return this.#webSocket
  }
}

/** Has the properties that apps read from engine.io's WebSocket object; its methods act on the session. */
class WebSocketFacade {
  #socket

  constructor(socket) {
    this.#socket = socket
    this._extensions = {}
    this._socket = { remoteAddress: socket.remoteAddress, setNoDelay() {} }
  }

  /** Bytes that wait for the peer. */
  get bufferedAmount() {
    return this.#socket._unsentBytes()
  }

  /** The number of the WebSocket API: 1 when the session is open, otherwise 3. */
  get readyState() {
    return this.#socket.readyState === 'open' ? 1 : 3
  }

  close() {
    this.#socket.close()
  }

  terminate() {
    this.#socket.close(true)
  }
}

module.exports = { Transport }
