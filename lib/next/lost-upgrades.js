'use strict'

// An upgrade that arrived before any listener for our path existed can no longer be answered. Some
// versions of Next.js leave it open, so its client waits for 20 s. When upwire closes the connection
// instead, the client reconnects at once.

const { next: log } = require('../debug')
const { destroyLater } = require('../http-server/socket-sweep')
const { PASSED_ON, isRead, isWritten } = require('../http-server/unowned-upgrades')
const { isProduction } = require('../environment/phase')
const { isHttp } = require('./server-search')

/**
 * Milliseconds after `registerUpwire()` at which unanswered upgrades are closed. By then an upgrade with
 * an owner has been read or answered. There are three sweeps because a server that is still booting may
 * be too busy to have read every request by the first one.
 */
const SWEEPS = [300, 800, 1600]

let isScheduled = false

/**
 * Schedules the closing of unanswered upgrades, once in the life of a process. Does nothing under
 * `next dev`, where the sockets of hot reloading may wait for a long time.
 * @param {(server: import('node:http').Server) => boolean} match
 */
function closeLostUpgrades(match) {
  if (isScheduled || !isProduction()) return
  isScheduled = true
  for (const delay of SWEEPS) {
    destroyLater(delay, (socket) => {
      const isUnwanted = isLost(socket) && match(socket.server)
      if (isUnwanted) log('closing an upgrade that arrived before registerUpwire()')
      return isUnwanted
    })
  }
}

/** Whether a socket was an HTTP connection, carries a request to upgrade, and has no owner. */
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

/** Whether the bytes written to an upgrade may be its answer, rather than that of an earlier request. */
function isAnswered(socket) {
  // Node sets this to `null` after it has written a response.
  return socket._httpMessage === null ? socket.writableLength > 0 : isWritten(socket)
}

module.exports = { closeLostUpgrades }
