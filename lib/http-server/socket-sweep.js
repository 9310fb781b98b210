'use strict'

// The TCP sockets of this process, for what cannot be had from events: those that are older than our
// interest, and those that a list of ours would cost each connection something.

const { Socket } = require('node:net')

/** Whether Node tells which they are: that is not documented. */
const isTold = typeof process._getActiveHandles === 'function'

/**
 * Destroys, after a while, the sockets of which something holds by then.
 * @param {number} delay in milliseconds
 * @param {(socket: Socket) => boolean} isUnwanted
 */
function destroyLater(delay, isUnwanted) {
  if (!isTold) return
  const sweep = () => {
    for (const socket of process._getActiveHandles()) {
      if (socket instanceof Socket && isUnwanted(socket)) socket.destroy()
    }
  }
  // After a late timer, what waits to be read is read first.
  setTimeout(() => setImmediate(setImmediate, sweep), delay).unref()
}

module.exports = { destroyLater }
