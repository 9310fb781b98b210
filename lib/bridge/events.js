'use strict'

// Delivers the I/O threads' events to sessions and streams.

const { surface } = require('../errors')
const { CODES, EVENT_INTEGERS, KIND } = require('./contract')
const shared = require('./shared-state')

/**
 * Delivers one turn's worth of events, and schedules the next turn when more are waiting, so that the
 * event loop runs in between. An error must not prevent that turn.
 */
function deliver() {
  let more = true
  try {
    more = shared.hot.deliver()
  } catch (error) {
    if (error?.code === CODES.NOT_RUNNING) return
    surface(error)
  }
  if (more) setImmediate(deliver)
}

/** Called by the native `deliver` with a group of events; `meta` describes them. */
function deliverGroup(count, a, b, c, d, e, f, g, h) {
  deliverEvent(0, a)
  if (count > 1) deliverEvent(1, b)
  if (count > 2) deliverEvent(2, c)
  if (count > 3) deliverEvent(3, d)
  if (count > 4) deliverEvent(4, e)
  if (count > 5) deliverEvent(5, f)
  if (count > 6) deliverEvent(6, g)
  if (count > 7) deliverEvent(7, h)
}

/** Delivers one event. An error that a listener throws surfaces later, so that delivery continues. */
function deliverEvent(index, value) {
  const { meta } = shared
  const at = index * EVENT_INTEGERS
  const kind = meta[at + 2]
  try {
    // The kinds of a stream have the largest numbers; the first integer is then the stream's number.
    if (kind >= KIND.STREAM_WRITE) {
      shared.streams.get(meta[at])?.onEvent(kind, value)
      return
    }
    const socket = shared.sockets[meta[at]]
    if (socket === undefined || socket._generation !== meta[at + 1]) return
    socket._onEvent(kind, value, meta[at + 3], meta[at + 4], meta[at + 5])
  } catch (error) {
    surface(error)
  }
}

/** The bytes of a small binary message, copied to memory that the app may transfer. */
function smallBytes(offset, length) {
  const copy = Buffer.allocUnsafeSlow(length)
  shared.small.copy(copy, 0, offset, offset + length)
  return copy
}

/** Starts to deliver a session's events. While sessions are open, the process stays alive. */
function addSession(socket) {
  shared.sockets[socket._slot] = socket
  shared.open++
  shared.keepAlive ??= setInterval(() => {}, 2 ** 30)
}

/** Stops delivering a session's events. */
function removeSession(socket) {
  if (shared.sockets[socket._slot] !== socket) return
  shared.sockets[socket._slot] = undefined
  shared.open--
  if (shared.open > 0) return
  clearInterval(shared.keepAlive)
  shared.keepAlive = undefined
}

/** The number of a new stream. */
function nextStream() {
  shared.lastStream = (shared.lastStream + 1) | 0
  return shared.lastStream
}

module.exports = {
  addSession,
  deliver,
  deliverGroup,
  nextStream,
  removeSession,
  smallBytes,
  streams: shared.streams,
}
