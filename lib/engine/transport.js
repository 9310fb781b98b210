'use strict'

const { EventEmitter } = require('node:events')

/** The transport of a session as engine.io shows it; made when somebody asks. */
class Transport extends EventEmitter {
  #socket
  #name
  #facade

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
    const socket = this.#socket
    return this.#name !== socket._transportName && socket._probed !== this
  }

  get readyState() {
    if (this.discarded) return 'closed'
    return this.#socket._probed === this ? 'open' : this.#socket.readyState
  }

  /** Closes the session. */
  close() {
    this.#socket.close()
  }

  /** What the WebSocket library's object would tell; what it would do, the session does. */
  get socket() {
    if (this.#name !== 'websocket') return undefined
    this.#facade ??= new WebSocketFacade(this.#socket)
    return this.#facade
  }
}

/** What apps read of the object that stands for a WebSocket in engine.io. */
class WebSocketFacade {
  #socket

  constructor(socket) {
    this.#socket = socket
    this._extensions = {}
    this._socket = { remoteAddress: socket.remoteAddress, setNoDelay() {} }
  }

  /** Bytes that wait for the peer. */
  get bufferedAmount() {
    return this.#socket._unsent()
  }

  /** 1 while it is open, else 3: the numbers of the WebSocket API. */
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
