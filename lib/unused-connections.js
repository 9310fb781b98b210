'use strict'

// Browsers open connections in advance. Node counts one that was never used as active, and so a server
// that closes waits for it as long as for a request: up to a minute.

const { Socket } = require('node:net')

/** Milliseconds after which nothing can be on its way any more to a server that has closed. */
const GRACE = 500

/**
 * Closes, a moment after a server has stopped to accept, the connections that never sent anything.
 * @param {import('node:net').Server} server
 */
function closeUnused(server) {
  // Not documented; to keep a list of our own would cost each connection something.
  if (typeof process._getActiveHandles !== 'function') return
  const sweep = () => {
    if (server.listening) return
    for (const socket of process._getActiveHandles()) {
      if (isUnused(socket, server)) socket.destroy()
    }
  }
  // After a late timer, what waits to be read is read first.
  setTimeout(() => setImmediate(setImmediate, sweep), GRACE).unref()
}

function isUnused(socket, server) {
  return socket instanceof Socket && socket.server === server && socket.bytesRead === 0
}

module.exports = { closeUnused }
