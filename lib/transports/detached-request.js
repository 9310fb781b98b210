'use strict'

const { IncomingMessage } = require('node:http')
const { Readable } = require('node:stream')
const { HeaderNames, headerNames } = require('./header-names')

/**
 * Replaces an upgrade request once Node has let go of its connection: it has everything that apps read,
 * and none of the streams' memory. It is used only where the app has not seen the original; otherwise
 * the properties that a middleware has added would be lost.
 */
class DetachedRequest {
  #names

  /** @param {import('./detached-socket').DetachedSocket} socket made while Node still had the connection */
  constructor(req, socket) {
    this.method = req.method
    this.url = req.url
    this.httpVersion = req.httpVersion
    this.headers = req.headers
    this._query = req._query
    this.socket = socket
    this.#names = headerNames(req.rawHeaders)
  }

  /** The headers as the client has sent them: order, spelling, repetitions. */
  get rawHeaders() {
    const names = this.#names
    return names instanceof HeaderNames ? names.withValues(this.headers) : names
  }

  get headersDistinct() {
    const distinct = Object.create(null)
    const raw = this.rawHeaders
    for (let index = 0; index < raw.length; index += 2) {
      const name = raw[index].toLowerCase()
      distinct[name] ??= []
      distinct[name].push(raw[index + 1])
    }
    return distinct
  }

  /** The state of a stream without data, made when a method of streams is called: its `end` can be read. */
  get _readableState() {
    const empty = new Readable({ autoDestroy: false, read() {} })
    empty.push(null)
    const { _readableState: value } = empty
    Object.defineProperty(this, '_readableState', { value, writable: true })
    return value
  }

  get client() {
    return this.socket
  }

  get destroyed() {
    return this.socket.destroyed
  }

  /** Closes the connection, as with Node's request. */
  destroy(error) {
    this.socket.destroy(error)
    return this
  }
}

Object.setPrototypeOf(DetachedRequest.prototype, IncomingMessage.prototype)

/** What Node's requests have as properties of their own. Those that an app may set are set on the request. */
const CONSTANTS = {
  httpVersionMajor: 1,
  httpVersionMinor: 1,
  complete: true,
  aborted: false,
  upgrade: true,
  statusCode: null,
  statusMessage: null,
}
for (const [name, value] of Object.entries(CONSTANTS)) {
  Object.defineProperty(DetachedRequest.prototype, name, { value, writable: true })
}

/** An upgrade has no trailers. */
for (const [name, make] of Object.entries({
  trailers: () => ({}),
  trailersDistinct: () => Object.create(null),
  rawTrailers: () => [],
})) {
  Object.defineProperty(DetachedRequest.prototype, name, { get: make })
}

module.exports = { DetachedRequest }
