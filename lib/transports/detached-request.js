'use strict'

const { EventEmitter } = require('node:events')
const { IncomingMessage } = require('node:http')

/**
 * Replaces an upgrade request once Node has let go of its connection: it has everything that apps read,
 * and none of the streams' memory. It is used only where the app has not seen the original; otherwise
 * the properties that a middleware has added would be lost.
 */
class DetachedRequest {
  constructor(req, remoteAddress) {
    this.method = req.method
    this.url = req.url
    this.httpVersion = req.httpVersion
    this.headers = req.headers
    this._query = req._query
    this.socket = new DetachedSocket(remoteAddress, req.socket)
  }

  /** The names are in lower case: their spelling is not kept. */
  get rawHeaders() {
    return Object.entries(this.headers).flatMap(([name, value]) =>
      [value].flat().flatMap((each) => [name, each]),
    )
  }

  get headersDistinct() {
    const headers = Object.entries(this.headers).map(([name, value]) => [name, [value].flat()])
    return Object.assign(Object.create(null), Object.fromEntries(headers))
  }

  /** There is nothing to read: a listener for `data` must not start the stream, which is gone. */
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

Object.setPrototypeOf(DetachedRequest.prototype, IncomingMessage.prototype)

/**
 * The connection of a detached request: closed for JavaScript, so the methods that would change it do
 * nothing. It skips EventEmitter's constructor to save memory, because every session has one.
 */
class DetachedSocket {
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

Object.setPrototypeOf(DetachedSocket.prototype, EventEmitter.prototype)

for (const name of ['destroy', 'ref', 'setKeepAlive', 'setNoDelay', 'setTimeout', 'unref']) {
  DetachedSocket.prototype[name] = function unchanged() {
    return this
  }
}

module.exports = { DetachedRequest }
