'use strict'

// Browsers open connections in advance. Node counts an unused one as active, so a server that closes waits
// for its first request, up to a minute.

const { destroyLater } = require('./socket-sweep')

/** Milliseconds after which no request can be on its way to a closed server any more. */
const GRACE = 500

/**
 * Closes the connections that have never sent anything, a moment after the server has closed.
 * @param {import('node:net').Server} server
 */
function closeUnused(server) {
  destroyLater(
    GRACE,
    (socket) => socket.server === server && !server.listening && socket.bytesRead === 0,
  )
}

module.exports = { closeUnused }
