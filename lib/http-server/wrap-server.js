'use strict'

// Routes the requests and upgrades of claimed paths to their engines, and keeps them from the server's other
// listeners. Two listeners of upwire do that. In addition the server's `emit` is replaced, for what no
// listener can do, and its `close`; all other events pass unchanged.

const { http: log } = require('../debug')
const { destroyRefused, refuseUpgrade } = require('./answers')
const { FrontListener } = require('./front-listener')
const { PathClaims } = require('./path-claims')
const { becomeRequest, decideUpgrades, isForeign } = require('./upgrade-decision')
const { passToListeners } = require('./unowned-upgrades')
const { warnOfUnasked } = require('./unasked-listeners')
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
  const requests = new FrontListener(server, 'request', (req, res) =>
    takeRequest(claims, requests, req, res),
  )
  // Hidden, because some versions of Next.js leave all upgrades to an app that listens for them.
  const upgrades = new FrontListener(
    server,
    'upgrade',
    (req, socket, head) => takeUpgrade(claims, upgrades, req, socket, head),
    { isHidden: true },
  )
  wrapEmit(server, claims, requests, upgrades)
  requests.arrange()
  upgrades.arrange()
  decideUpgrades(server, (req) => claims.find(req.url) !== undefined, upgrades)
  wrapClose(server, claims)
  return claims
}

/** Handles a request for a claimed path, unless an earlier listener has answered it. */
function takeRequest(claims, front, req, res) {
  const claim = claims.find(req.url)
  if (claim?.request === undefined) return false
  if (front.hasPredecessors && (res.headersSent || res.writableEnded)) return true
  if (isBelow(req.url, claim) && claim.serveStatic(req, res)) return true
  if (front.followers.length > 0 && !speaksEngineIO(req)) return false
  claim.request(req, res)
  return true
}

/** Handles an upgrade of a claimed path, unless an earlier listener has answered it. */
function takeUpgrade(claims, front, req, socket, head) {
  if (!isOriginForm(req.url)) {
    refuseTarget(socket)
    return true
  }
  const claim = claims.find(req.url)
  if (claim === undefined) {
    passToListeners(socket, claims.unownedTimeout)
    return false
  }
  if (front.hasPredecessors && isAnswered(socket)) return true
  warnOfUnasked(front.followers, claim.prefix)
  claim.upgrade(req, socket, head)
  return true
}

/** How many bytes were written to a socket before the listeners of its upgrade were called. */
const writtenBefore = new WeakMap()

/** Whether an earlier listener has ended an upgrade, written to it, or reads it. */
function isAnswered(socket) {
  const written = writtenBefore.get(socket) ?? socket.bytesWritten
  return (
    socket.destroyed ||
    socket.writableEnded ||
    socket.bytesWritten > written ||
    Boolean(socket.readableFlowing) ||
    socket.listenerCount('data') > 0 ||
    socket.listenerCount('readable') > 0
  )
}

function wrapEmit(server, claims, requests, upgrades) {
  const { emit } = server
  server.emit = function upwireEmit(type, req, resOrSocket, head) {
    requests.arrange()
    upgrades.arrange()
    if (type === 'upgrade') {
      if (!isOriginForm(req.url)) {
        refuseTarget(resOrSocket)
        return true
      }
      if (claims.find(req.url) === undefined) {
        if (
          !upgrades.hasOthers &&
          isForeign(req) &&
          becomeRequest(server, req, resOrSocket, head)
        ) {
          return true
        }
        return passToListeners(resOrSocket, claims.unownedTimeout, () =>
          Reflect.apply(emit, this, arguments),
        )
      }
      if (upgrades.hasPredecessors) writtenBefore.set(resOrSocket, resOrSocket.bytesWritten)
    } else if (type === 'listening') {
      claims.onListening()
    } else if (upgrades.hides(type, req)) {
      return false
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
 * Whether a request speaks Engine.IO. The claimed path may also be a route of the app, in `pages/api`, which
 * gets the other requests; otherwise the route could never be called again.
 */
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

module.exports = { claimsOf, refuseForeignTargets, speaksEngineIO }
