'use strict'

const { EventEmitter } = require('node:events')
const { IncomingMessage } = require('node:http')

/**
 * What is left of an upgrade request once Node has let go of its connection: everything an app
 * reads, nothing of the streams. It stands in for the request only where the app has never seen
 * the original, so that what a middleware stored on it is not lost.
 */
class HandshakeRequest {
  constructor(req, remoteAddress) {
    this.method = req.method
    this.url = req.url
    this.httpVersion = req.httpVersion
    this.headers = req.headers
    this._query = req._query
    this.socket = new GoneSocket(remoteAddress, req.socket)
  }

  /** Names in lower case: the spelling is not kept. */
  get rawHeaders() {
    return Object.entries(this.headers).flatMap(([name, value]) =>
      [value].flat().flatMap((each) => [name, each]),
    )
  }

  get headersDistinct() {
    const headers = Object.entries(this.headers).map(([name, value]) => [name, [value].flat()])
    return Object.assign(Object.create(null), Object.fromEntries(headers))
  }

  /** There is nothing to read: a listener for data must not start the stream that is gone. */
  on(event, listener) {
    return EventEmitter.prototype.on.call(this, event, listener)
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  get httpVersionMajor() {
    return 1
  }

  get httpVersionMinor() {
    return 1
  }

  get complete() {
    return true
  }

  get aborted() {
    return false
  }
}

Object.setPrototypeOf(HandshakeRequest.prototype, IncomingMessage.prototype)

/**
 * The connection as it was; it is closed for JavaScript, and what would change it does nothing. An
 * emitter that has nothing before its first listener: there is one for each session.
 */
class GoneSocket {
  constructor(remoteAddress, socket) {
    this.remoteAddress = remoteAddress
    this.remoteFamily = socket.remoteFamily
    this.remotePort = socket.remotePort
    this.encrypted = socket.encrypted
  }

  get destroyed() {
    return true
  }

  get writable() {
    return false
  }

  get readable() {
    return false
  }

  address() {
    return {}
  }
}

Object.setPrototypeOf(GoneSocket.prototype, EventEmitter.prototype)

for (const name of ['destroy', 'ref', 'setKeepAlive', 'setNoDelay', 'setTimeout', 'unref']) {
  GoneSocket.prototype[name] = function unchanged() {
    return this
  }
}

module.exports = { HandshakeRequest }
