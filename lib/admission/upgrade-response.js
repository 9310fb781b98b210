'use strict'

const { EventEmitter } = require('node:events')
const { guarded } = require('../errors')

/** The response whose `close` event a session triggers. @type {WeakMap<EventEmitter, UpgradeResponse>} */
const followers = new WeakMap()

/**
 * The response that middlewares get on an upgrade. Its headers go into the 101; a middleware that ends it
 * refuses the upgrade.
 */
class UpgradeResponse extends EventEmitter {
  #headers = new Map()
  #socket

  constructor(req, socket) {
    super()
    this.req = req
    this.#socket = socket
    this.socket = socket
    this.statusCode = 101
    this.headersSent = false
    this.finished = false
    socket.once('close', this.#onClose)
  }

  #onClose = () => this.emit('close')

  /**
   * Called when a session has taken the connection: from then on `close` is emitted when the session
   * closes, not when Node's socket does. After a failed probe it is emitted when the session takes the
   * next connection.
   */
  _follow(session) {
    this.#socket.removeListener('close', this.#onClose)
    const earlier = followers.get(session)
    followers.set(session, this)
    session.once('close', this.#onClose)
    if (earlier === undefined) return
    session.removeListener('close', earlier.#onClose)
    guarded(earlier.#onClose)
  }

  get writableEnded() {
    return this.finished
  }

  setHeader(name, value) {
    this.#headers.set(String(name).toLowerCase(), [name, value])
    return this
  }

  appendHeader(name, value) {
    const present = this.getHeader(name)
    const values = present === undefined ? [] : [present].flat()
    return this.setHeader(name, [...values, value].flat())
  }

  getHeader(name) {
    return this.#headers.get(String(name).toLowerCase())?.[1]
  }

  getHeaders() {
    return Object.fromEntries([...this.#headers].map(([name, [, value]]) => [name, value]))
  }

  getHeaderNames() {
    return [...this.#headers.keys()]
  }

  hasHeader(name) {
    return this.#headers.has(String(name).toLowerCase())
  }

  removeHeader(name) {
    this.#headers.delete(String(name).toLowerCase())
  }

  /** Some middlewares, such as express-session, set their headers when this is called. */
  writeHead() {
    return this
  }

  flushHeaders() {}

  write() {
    return true
  }

  /** Refuses the upgrade: closes its connection. */
  end() {
    if (this.finished) return this
    this.finished = true
    this.emit('finish')
    this.#socket.destroy()
    return this
  }

  /** Values by name, in the spelling that was given. */
  _toObject() {
    return Object.fromEntries(this.#headers.values())
  }
}

const INVALID_NAME = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/
const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/

/** Header lines for the 101. Each element of an array gets its own line. */
function headerLines(headers) {
  let lines = ''
  for (const [name, value] of Object.entries(headers)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      const text = String(each)
      if (name === '' || INVALID_NAME.test(name) || INVALID_VALUE.test(text)) {
        throw new TypeError(`Invalid character in header ${JSON.stringify(name)}`)
      }
      lines += `${name}: ${text}\r\n`
    }
  }
  return lines
}

module.exports = { UpgradeResponse, headerLines }
