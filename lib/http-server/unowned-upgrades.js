'use strict'

// Upgrades of paths that are not claimed. Another listener of the server may own one and answer it later.
// Until an owner appears, nothing reads the socket, so the client's end is handled here; and an upgrade that
// never gets an owner is answered with 404.

const { http: log } = require('../debug')
const { afterEarlier, refuseUpgrade } = require('./answers')

/** Marks the socket of an upgrade that was passed to the server's listeners. */
const PASSED_ON = Symbol.for('upwire.passed-on')

/** Events of a socket's input, and how many listeners Node itself has for them. */
const OWN_LISTENERS = { data: 0, readable: 0, end: 1 }

/** @type {WeakMap<import('node:stream').Duplex, OwnerSearch>} */
const searches = new WeakMap()

/**
 * Watches an upgrade that the server's listeners get, and calls them if `emit` is given.
 * @param {number} [timeout] milliseconds until an upgrade without an owner gets 404; it never does
 *   if this is `undefined`
 * @param {() => boolean} [emit]
 */
function passToListeners(socket, timeout, emit = undefined) {
  const search = searches.get(socket) ?? startSearch(socket)
  if (timeout !== undefined) search.refuseIn(timeout)
  if (emit === undefined) return true
  const written = socket.bytesWritten
  try {
    return emit()
  } finally {
    // During the call only a listener can have written: earlier responses are written in other ticks.
    if (socket.bytesWritten > written) search.isOwned = true
  }
}

function startSearch(socket) {
  socket[PASSED_ON] = true
  if (log.enabled) log('passed an upgrade from %s to the other listeners', socket.remoteAddress)
  return new OwnerSearch(socket)
}

/** Whether a listener reads a socket, or waits for input. */
function isRead(socket, listeners = OWN_LISTENERS) {
  return (
    Boolean(socket.readableFlowing) ||
    Object.entries(listeners).some(([event, count]) => socket.listenerCount(event) > count)
  )
}

/** Whether more than `written` bytes were written to a socket. */
function isWritten(socket, written = 0) {
  return socket.bytesWritten > written || socket.writableLength > 0
}

/**
 * Finds out whether an upgrade has an owner: a listener that writes to the socket, reads it, or waits for
 * its input. A listener for `error` does not count, because Next.js adds one to every upgrade.
 */
class OwnerSearch {
  #socket
  /** Bytes that were written before the upgrade; `undefined` while an earlier response is written. */
  #written
  /** How many listeners the socket had before, by event. */
  #listeners
  #timer
  isOwned = false

  constructor(socket) {
    this.#socket = socket
    // A reset of a socket without an owner must not become an uncaught error.
    socket.on('error', () => {})
    socket.once('end', () => this.#onEnd())
    socket.once('close', () => clearTimeout(this.#timer))
    const events = Object.keys(OWN_LISTENERS)
    this.#listeners = Object.fromEntries(events.map((each) => [each, socket.listenerCount(each)]))
    afterEarlier(socket, () => {
      this.#written = socket.bytesWritten ?? 0
    })
    searches.set(socket, this)
  }

  /** Answers with 404 after a time, if there is no owner by then. */
  refuseIn(timeout) {
    this.#timer ??= setTimeout(() => this.#onTimeout(), timeout)
  }

  #hasOwner() {
    const socket = this.#socket
    return (
      this.isOwned ||
      isRead(socket, this.#listeners) ||
      (this.#written !== undefined && isWritten(socket, this.#written))
    )
  }

  #onEnd() {
    // Node's own listener for `end` does the same, but Node has removed it with the HTTP parser.
    if (this.#hasOwner()) return
    if (log.enabled) log('an upgrade from %s ended without an owner', this.#socket.remoteAddress)
    this.#socket.end()
  }

  #onTimeout() {
    const socket = this.#socket
    if (socket.destroyed || isRead(socket, this.#listeners)) return
    if (socket.writableEnded) {
      // Its owner, or an earlier response, has ended it: only the client's end is still to come.
      socket.resume()
    } else if (!this.#hasOwner()) {
      if (log.enabled) log('refused an upgrade from %s with 404: no owner', socket.remoteAddress)
      refuseUpgrade(socket, { status: 404, message: 'Not found' })
    }
  }
}

module.exports = { PASSED_ON, isRead, isWritten, passToListeners }
