'use strict'

const commands = require('../bridge/commands')
const { invalid } = require('../errors')
const { ObservedEmitter } = require('./observed-emitter')

/** RFC 6455 5.5: the payload of a control frame has at most this many bytes. */
const MAX_CONTROL_PAYLOAD = 125
/** RFC 6455 7.1.5: the close frame had no status, or there was no close frame. */
const NO_STATUS = 1005
const ABNORMAL = 1006

/**
 * Has the members that apps use of engine.io's WebSocket object; its methods act on the session. Made when
 * an app reads it.
 */
class WebSocketFacade extends ObservedEmitter {
  #socket
  #transport
  #connection
  #reportsClose = false

  constructor(socket, transport) {
    super()
    this.#socket = socket
    this.#transport = transport
    this._extensions = {}
  }

  /** The connection, as far as apps use it. */
  get _socket() {
    this.#connection ??= new ConnectionFacade(this.#socket)
    return this.#connection
  }

  /** Bytes that wait for the peer. */
  get bufferedAmount() {
    return this.#socket._unsentBytes()
  }

  /** The number of the WebSocket API: 1 when the session is open, otherwise 3. */
  get readyState() {
    return this.#isOpen ? 1 : 3
  }

  get #isOpen() {
    return this.#transport.readyState === 'open'
  }

  /**
   * Sends a ping frame. On a closed connection, `callback` gets an error, as with ws.
   * @param {string | NodeJS.ArrayBufferView} [data] at most 125 bytes
   */
  ping(data, _mask, callback) {
    const done = [data, _mask, callback].find((each) => typeof each === 'function')
    const payload = typeof data === 'function' || data === undefined ? '' : data
    const bytes = typeof payload === 'number' ? Buffer.from(String(payload)) : Buffer.from(payload)
    if (bytes.length > MAX_CONTROL_PAYLOAD) {
      throw invalid('data', `${bytes.length} bytes`, `at most ${MAX_CONTROL_PAYLOAD} bytes`)
    }
    if (!this.#isOpen || this.#socket.transport !== this.#transport) {
      if (done !== undefined) process.nextTick(done, new Error('WebSocket is not open'))
      return
    }
    commands.writePing(this.#socket, bytes)
    if (done !== undefined) process.nextTick(done)
  }

  /** Closes the session. */
  close() {
    this.#socket.close()
  }

  /** Closes the session at once. */
  terminate() {
    this.#socket.close(true)
  }

  /** Emits `close` with the status and reason of the close frame, as ws does, once something listens. */
  _observe(event) {
    if (event !== 'close' || this.#reportsClose) return
    this.#reportsClose = true
    this.#socket.prependListener('close', (_reason, description) => {
      if (this.#socket._transportState.name !== 'websocket') return
      const { code, wsCode, wsReason = '' } = description ?? {}
      const isClean = code === undefined || code === 'ERR_UPWIRE_PEER_CLOSED'
      this.emit('close', wsCode ?? (isClean ? NO_STATUS : ABNORMAL), Buffer.from(wsReason))
    })
  }
}

/** The connection of a WebSocket: native code owns it. */
class ConnectionFacade {
  #socket

  constructor(socket) {
    this.#socket = socket
    this.remoteAddress = socket.remoteAddress
    const { remotePort, remoteFamily, localAddress, localPort } = socket.request?.socket ?? {}
    Object.assign(this, { remotePort, remoteFamily, localAddress, localPort })
  }

  get destroyed() {
    return this.#socket.readyState === 'closed'
  }

  /** Closes the session at once. */
  destroy() {
    this.#socket.close(true)
    return this
  }
}

for (const name of ['ref', 'setKeepAlive', 'setNoDelay', 'setTimeout', 'unref']) {
  ConnectionFacade.prototype[name] = function unchanged() {
    return this
  }
}

module.exports = { WebSocketFacade }
