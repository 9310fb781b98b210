'use strict'

// An upgrade that came before anybody listened for our path cannot be answered any more: some
// versions of Next.js leave it open, and its client waits for 20 s. Closed, it comes back at once.

const { destroyLater } = require('../http-server/socket-sweep')
const { PASSED_ON, isRead, isWritten } = require('../http-server/unowned-upgrades')
const { isProduction } = require('../environment/phase')
const { isHttp } = require('./server-search')

/**
 * Milliseconds from `registerUpwire()` on: who has an upgrade by then shows it. More than once, because
 * a server that boots may be too busy to have read what has come.
 */
const SWEEPS = [300, 800, 1600]

let isPlanned = false

/**
 * Closes the upgrades that nobody has answered, once in the life of a process. Not under `next dev`:
 * there the sockets of hot reloading may wait for long.
 * @param {(server: import('node:http').Server) => boolean} match
 */
function closeLostUpgrades(match) {
  if (isPlanned || !isProduction()) return
  isPlanned = true
  for (const delay of SWEEPS) {
    destroyLater(delay, (socket) => isLost(socket) && match(socket.server))
  }
}

/** Whether a socket was an HTTP connection, has asked for something, and nobody has it. */
function isLost(socket) {
  return (
    isHttp(socket.server) &&
    !socket.parser &&
    !socket._httpMessage &&
    !socket[PASSED_ON] &&
    socket.bytesRead > 0 &&
    !isRead(socket) &&
    !isAnswered(socket)
  )
}

/** Whether what was written to an upgrade may be its answer, not that of an earlier request. */
function isAnswered(socket) {
  // Node sets this to `null` once it has written a response.
  return socket._httpMessage === null ? socket.writableLength > 0 : isWritten(socket)
}

module.exports = { closeLostUpgrades }
