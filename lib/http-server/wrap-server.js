'use strict'

// Routes the requests and upgrades of claimed paths to their engines, before any listener of the server
// sees them. For that it replaces the server's `emit` and `close`; all other events pass unchanged.

const { http: log } = require('../debug')
const { destroyRefused, refuseUpgrade } = require('./answers')
const { PathClaims } = require('./path-claims')
const { passToListeners } = require('./unowned-upgrades')
const { closeUnused } = require('./unused-connections')

/** A registered symbol: a second copy of this package finds the claims, and does not wrap once more. */
const CLAIMS = Symbol.for('upwire.claims')

/**
 * The claimed paths of a server. The first call wraps the server.
 * @param {import('node:http').Server} server
 * @returns {PathClaims}
 */
function claimsOf(server) {
  return server[CLAIMS] ?? wrapServer(server)
}

/** Refuses upgrades whose target is not a path, also on a server without claims. */
function refuseForeignTargets(server) {
  claimsOf(server)
}

function wrapServer(server) {
  const claims = new PathClaims()
  Object.defineProperty(server, CLAIMS, { value: claims, enumerable: false })
  const ensureUpgradeListener = keepUpgradeListener(server)
  wrapEmit(server, claims, ensureUpgradeListener)
  wrapClose(server, claims)
  return claims
}

function wrapEmit(server, claims, ensureUpgradeListener) {
  const { emit } = server
  server.emit = function upwireEmit(type, req, resOrSocket, head) {
    ensureUpgradeListener()
    if (type === 'upgrade') {
      if (!isOriginForm(req.url)) {
        refuseTarget(resOrSocket)
        return true
      }
      const claim = claims.find(req.url)
      if (claim !== undefined) {
        claim.upgrade(req, resOrSocket, head)
        return true
      }
      return passToListeners(resOrSocket, claims.unownedTimeout, () =>
        Reflect.apply(emit, this, arguments),
      )
    } else if (type === 'request') {
      const claim = claims.find(req.url)
      if (claim?.request !== undefined) {
        if (isBelow(req.url, claim) && claim.serveStatic(req, resOrSocket)) return true
        if (!belongsToRoute(server, req)) {
          claim.request(req, resOrSocket)
          return true
        }
      }
    } else if (type === 'listening') {
      claims.onListening()
    }
    return Reflect.apply(emit, this, arguments)
  }
}

/**
 * Whether the target of an upgrade is a path. A URL, an authority or `*` has no meaning for an origin
 * server, and some versions of Next.js forward such an upgrade to the named host (CVE-2026-44578).
 */
function isOriginForm(url) {
  return typeof url === 'string' && url.startsWith('/')
}

/** Whether a URL names something below the claimed path, as Engine.IO's own requests never do. */
function isBelow(url, { prefix }) {
  const next = url[prefix.length]
  return next !== undefined && next !== '?'
}

function refuseTarget(socket) {
  if (log.enabled)
    log('refused an upgrade whose target is not a path, from %s', socket.remoteAddress)
  socket.on('error', () => {})
  refuseUpgrade(socket, { status: 400, message: 'Bad request' })
}

/**
 * The claimed path may also be a route of the app, in `pages/api`. A request that does not speak Engine.IO
 * goes to that route; otherwise the route could never be called again.
 */
function belongsToRoute(server, req) {
  return server.listenerCount('request') > 0 && !speaksEngineIO(req)
}

function speaksEngineIO({ url }) {
  return /[?&](?:EIO|transport)=/.test(url)
}

/** Closes the sessions before the server: open ones would delay its close, or be cut off by an exit. */
function wrapClose(server, claims) {
  const { close } = server
  server.close = function upwireClose(...args) {
    claims.onClose()
    const closed = Reflect.apply(close, this, args)
    closeUnused(server)
    return closed
  }
  const { closeAllConnections } = server
  if (typeof closeAllConnections !== 'function') return
  server.closeAllConnections = function upwireCloseAll(...args) {
    Reflect.apply(closeAllConnections, this, args)
    destroyRefused(server)
  }
}

/**
 * Keeps a listener for upgrades on the server, also when all others are removed: without one Node treats
 * upgrades as plain requests.
 * @returns {() => void} adds the listener again if there is none
 */
function keepUpgradeListener(server) {
  const listener = () => {}
  const ensure = () => {
    if (server.listenerCount('upgrade') === 0) server.on('upgrade', listener)
  }
  server.on('upgrade', listener)
  server.on('removeListener', (event) => {
    if (event === 'upgrade') ensure()
  })
  return ensure
}

module.exports = { claimsOf, refuseForeignTargets, speaksEngineIO }
