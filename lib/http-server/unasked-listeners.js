'use strict'

const { warnOnce } = require('../errors')

/**
 * Listeners that hand upgrades to a WebSocket server or to Next.js. They route; they do not decide who may
 * connect to a path that is not theirs.
 */
const ROUTES = /\bhandleUpgrade\b|upgradeHandler|UpgradeHandler|onHMR|\.ws\(/

/** Listeners that were looked at. @type {WeakSet<Function>} */
const seen = new WeakSet()

/**
 * Warns once about listeners for upgrades that do not get those of a claimed path: one of them may be meant
 * to refuse clients.
 * @param {Function[]} listeners
 * @param {string} path
 */
function warnOfUnasked(listeners, path) {
  for (const listener of listeners) {
    if (seen.has(listener)) continue
    seen.add(listener)
    if (ROUTES.test(`${listener.name} ${listener}`)) continue
    const name = listener.name ? `"${listener.name}"` : 'without a name'
    warnOnce(
      'unasked upgrade listener',
      'UPWIRE_UPGRADE_LISTENER',
      `a listener ${name} for the server's "upgrade" event does not get the upgrades of ${path}: ` +
        'to refuse clients, use the option allowRequest or io.engine.use(middleware); to see each upgrade ' +
        "first, add the listener with server.prependListener('upgrade', listener) after attach()",
    )
  }
}

module.exports = { warnOfUnasked }
