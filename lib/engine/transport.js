'use strict'

const { ObservedEmitter } = require('./observed-emitter')
const { WebSocketFacade } = require('./websocket-facade')

/** A transport of a session: engine.io's `Transport`. Made when an app reads it. */
class Transport extends ObservedEmitter {
  #socket
  #name
  #webSocket
  #forwardsPackets = false

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

  /** Closes the session. `callback` is called when it is closed. */
  close(callback) {
    const { readyState } = this.#socket
    if (this.discarded || readyState === 'closed') return
    if (typeof callback === 'function') this.#socket.once('close', () => callback())
    this.#socket.close()
  }

  /** The WebSocket properties that apps read. */
  get socket() {
    if (this.#name !== 'websocket') return undefined
    this.#webSocket ??= new WebSocketFacade(this.#socket, this)
    return this.#webSocket
  }

  /** Packets reach a transport through its session, so that messages cost nothing without listeners. */
  _observe(event) {
    if (event === 'drain') return this.#socket._coverQueued()
    if (event !== 'packet' || this.#forwardsPackets) return
    this.#forwardsPackets = true
    this.#socket.prependListener('packet', (packet) => {
      if (this.#socket.transport === this) this.emit('packet', packet)
    })
  }
}

module.exports = { Transport }
