'use strict'

// Scans the open TCP sockets of this process. Unlike a listener for connections, a scan also finds sockets
// that are older than upwire's use of the server, and it costs nothing per connection.

const { Socket } = require('node:net')

/** Whether this version of Node lists open handles. The function is not documented. */
const canScan = typeof process._getActiveHandles === 'function'

/**
 * Destroys sockets after a delay: those that are unwanted then.
 * @param {number} delay in milliseconds
 * @param {(socket: Socket) => boolean} isUnwanted
 */
function destroyLater(delay, isUnwanted) {
  if (!canScan) return
  const sweep = () => {
    for (const socket of process._getActiveHandles()) {
      if (socket instanceof Socket && isUnwanted(socket)) socket.destroy()
    }
  }
  // A timer may be late: input that waits is read before the scan.
  setTimeout(() => setImmediate(setImmediate, sweep), delay).unref()
}

module.exports = { destroyLater }
