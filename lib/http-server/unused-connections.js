'use strict'

// Browsers open connections in advance. Node counts one that was never used as active, and so a server
// that closes waits for it as long as for a request: up to a minute.

const { destroyLater } = require('./socket-sweep')

/** Milliseconds after which nothing can be on its way any more to a server that has closed. */
const GRACE = 500

/**
 * Closes, a moment after a server has stopped to accept, the connections that never sent anything.
 * @param {import('node:net').Server} server
 */
function closeUnused(server) {
  destroyLater(
    GRACE,
    (socket) => socket.server === server && !server.listening && socket.bytesRead === 0,
  )
}

module.exports = { closeUnused }
