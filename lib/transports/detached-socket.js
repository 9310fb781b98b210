'use strict'

const { EventEmitter } = require('node:events')

/** The local address of the last connection: most connections share its string. */
let lastLocalAddress

/**
 * The connection of a request that was detached from it, as apps use it: native code owns the connection. It
 * skips EventEmitter's constructor to save memory, because every session has one.
 */
class DetachedSocket {
  /** @type {import('../engine/engine-socket').EngineSocket | undefined} */
  #session
  #reportsClose = false

  /** @param {import('node:net').Socket} socket which Node still has */
  constructor(socket) {
    const { localAddress } = socket
    if (localAddress !== lastLocalAddress) lastLocalAddress = localAddress
    this.remoteAddress = socket.remoteAddress
    this.remoteFamily = socket.remoteFamily
    this.remotePort = socket.remotePort
    this.localAddress = lastLocalAddress
    this.localPort = socket.localPort
    this.encrypted = socket.encrypted
    this.server = socket.server
  }

  /** The session has the connection now. */
  _follow(session) {
    this.#session = session
  }

  get localFamily() {
    return this.localAddress?.includes(':') ? 'IPv6' : 'IPv4'
  }

  get destroyed() {
    return this.#session === undefined || this.#session.readyState === 'closed'
  }

  get closed() {
    return this.destroyed
  }

  get readyState() {
    return this.destroyed ? 'closed' : 'open'
  }

  /** Whether an app can write to it: frames of the session would be cut. */
  get writable() {
    return false
  }

  get readable() {
    return false
  }

  get connecting() {
    return false
  }

  get pending() {
    return false
  }

  address() {
    const { localAddress: address, localFamily: family, localPort: port } = this
    return { address, family, port }
  }

  /** Writes nothing: bytes between the session's frames would end the connection. */
  write() {
    return false
  }

  read() {
    return null
  }

  /** Closes the session, and with it the connection. */
  destroy() {
    this.#session?.close(true)
    return this
  }

  /** A listener for `close` is called when the session has closed. */
  on(event, listener) {
    if (event === 'close') this.#reportClose()
    return EventEmitter.prototype.on.call(this, event, listener)
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    if (event === 'close') this.#reportClose()
    return EventEmitter.prototype.prependListener.call(this, event, listener)
  }

  #reportClose() {
    if (this.destroyed || this.#reportsClose) return
    this.#reportsClose = true
    this.#session.once('close', (reason) => this.emit('close', reason === 'transport error'))
  }
}

Object.setPrototypeOf(DetachedSocket.prototype, EventEmitter.prototype)

const UNCHANGED = [
  'cork',
  'pause',
  'ref',
  'resume',
  'setEncoding',
  'setKeepAlive',
  'setNoDelay',
  'setTimeout',
  'uncork',
  'unref',
]
for (const name of UNCHANGED) {
  DetachedSocket.prototype[name] = function unchanged() {
    return this
  }
}

for (const name of ['destroySoon', 'end', 'resetAndDestroy']) {
  DetachedSocket.prototype[name] = DetachedSocket.prototype.destroy
}

module.exports = { DetachedSocket }
