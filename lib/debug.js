'use strict'

// Log output for `DEBUG=upwire*`, through the package that socket.io's users know.
// Check `log.enabled` before building an argument that costs anything.

const debug = require('debug')

module.exports = {
  /** Every request that is refused, with the reason. */
  handshake: debug('upwire:handshake'),
  /** The HTTP server: claimed paths, other people's upgrades, closing. */
  http: debug('upwire:http'),
  /** Next.js: how the server was found, what was decided and why. */
  next: debug('upwire:next'),
  /** Every session's start and end. */
  session: debug('upwire:session'),
  /** Transport upgrades: probes, successes and failures. */
  upgrade: debug('upwire:upgrade'),
}
