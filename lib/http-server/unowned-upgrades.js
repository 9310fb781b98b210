'use strict'

// Upgrades that no claim takes. Another listener of the server may, in its own time; until one shows
// that it does, nothing reads the socket, so the peer's end is handled here, and in the end a 404.

const { afterEarlier, refuseUpgrade } = require('./answers')

/** Marks the socket of an upgrade that was left to other listeners. */
const PASSED_ON = Symbol.for('upwire.passed-on')

/** Listeners for what a peer sends. A socket of Node's has one for `end` of its own. */
const OWN_LISTENERS = { data: 0, readable: 0, end: 1 }

/** @type {WeakMap<import('node:stream').Duplex, OwnerSearch>} */
const searches = new WeakMap()

/**
 * Leaves an upgrade to other listeners, which `emit` calls.
 * @param {number} [timeout] milliseconds until an upgrade without an owner gets 404; never without
 */
function passOn(socket, timeout, emit) {
  socket[PASSED_ON] = true
  const search = searches.get(socket) ?? new OwnerSearch(socket)
  if (timeout !== undefined) search.endIn(timeout)
  const written = socket.bytesWritten
  try {
    return emit()
  } finally {
    // Earlier responses write in ticks of their own.
    if (socket.bytesWritten > written) search.isOwned = true
  }
}

/** Whether a listener reads a socket, or waits for what its peer sends. */
function isRead(socket, listeners = OWN_LISTENERS) {
  return (
    Boolean(socket.readableFlowing) ||
    Object.entries(listeners).some(([event, count]) => socket.listenerCount(event) > count)
  )
}

/** Whether more was written to a socket than so many bytes. */
function isWritten(socket, written = 0) {
  return socket.bytesWritten > written || socket.writableLength > 0
}

/**
 * Finds out whether an upgrade has an owner: a listener that writes to the socket, reads it, or listens
 * to it. An `error` listener is no sign; Next.js adds one to each.
 */
class OwnerSearch {
  #socket
  /** Bytes that were written before the upgrade; unknown while an earlier response is written. */
  #written
  /** The listeners that were there before. */
  #listeners
  #timer
  isOwned = false

  constructor(socket) {
    this.#socket = socket
    // A peer that resets a socket without an owner must not end the process.
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

  /** Answers with 404 when there is no owner by then. */
  endIn(timeout) {
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
    // Node takes its own `end` listener off with the HTTP parser, and ends a connection as this does.
    if (!this.#hasOwner()) this.#socket.end()
  }

  #onTimeout() {
    const socket = this.#socket
    if (socket.destroyed || isRead(socket, this.#listeners)) return
    // Ended by its owner, or by an earlier response: only its peer's end is left to come.
    if (socket.writableEnded) socket.resume()
    else if (!this.#hasOwner()) refuseUpgrade(socket, { status: 404, message: 'Not found' })
  }
}

module.exports = { PASSED_ON, isRead, isWritten, passOn }
