'use strict'

// Puts our paths of an HTTP server before all its listeners: one own `emit` on the server object
// routes requests and upgrades by path; everything else passes through as it came. The list of
// claims hangs on the server under a registered symbol, so that a second copy of this package
// joins in instead of wrapping once more.

const { coded } = require('../errors')
const { destroyRefused, refuseUpgrade } = require('./answers')
const { passOn } = require('./unowned-upgrades')
const { closeUnused } = require('./unused-connections')

const CLAIMS = Symbol.for('upwire.claims')

/**
 * A path of a server and who answers it. `owns` narrows what has the prefix; `giveWay` is there when
 * the claim only holds the place for another, and is called with that one.
 * @typedef {{ prefix: string, owns?: (url: string) => boolean, destroyUpgrade: boolean,
 *   destroyUpgradeTimeout: number, engine: { _isOver: boolean }, upgrade: Function,
 *   serveStatic: Function, request?: Function, listening: Function, close: Function,
 *   giveWay?: (claim: Claim) => void }} Claim
 */

/**
 * Claims a path.
 * @param {import('node:http').Server} server
 * @param {Claim} claim
 * @throws {Error} `ERR_UPWIRE_PATH_IN_USE` when another engine has it
 * @returns {Claim}
 */
function claim(server, claim) {
  const claims = server[CLAIMS] ?? intercept(server)
  const present = claims.find(({ prefix }) => prefix === claim.prefix)
  const others = [...claims]
  if (present !== undefined) {
    if (!present.engine._isOver) {
      throw coded(
        Error,
        'ERR_UPWIRE_PATH_IN_USE',
        `upwire: another engine of this server already has the path ${claim.prefix}`,
      )
    }
    unclaim(server, present)
  }
  claims.push(claim)
  // The longest claim wins.
  claims.sort((left, right) => right.prefix.length - left.prefix.length)
  if (claim.giveWay === undefined) for (const each of others) each.giveWay?.(claim)
  return claim
}

/** Gives a claim up: what it answered passes through. */
function unclaim(server, claim) {
  const index = server[CLAIMS].indexOf(claim)
  if (index >= 0) server[CLAIMS].splice(index, 1)
}

/** Paths of Next.js itself, also below a `basePath`. */
const OF_NEXT = /^[^?]*\/_next\//

/** The claim for a request's URL. Next.js's own paths are never claimed. */
function find(claims, url) {
  if (typeof url !== 'string') return undefined
  const claim = claims.find(({ prefix, owns }) => url.startsWith(prefix) && (owns?.(url) ?? true))
  return claim !== undefined && OF_NEXT.test(url) ? undefined : claim
}

/** Refuses upgrades that no server may be asked for, also where nobody has a path. */
function guard(server) {
  if (server[CLAIMS] === undefined) intercept(server)
}

function intercept(server) {
  const claims = []
  Object.defineProperty(server, CLAIMS, { value: claims, enumerable: false })
  const keepUpgrades = addSentinel(server)
  wrapEmit(server, claims, keepUpgrades)
  wrapClose(server, claims)
  return claims
}

function wrapEmit(server, claims, keepUpgrades) {
  const { emit } = server
  server.emit = function upwireEmit(type, req, resOrSocket, head) {
    keepUpgrades()
    if (type === 'upgrade') {
      if (!isOriginForm(req.url)) {
        refuseTarget(resOrSocket)
        return true
      }
      const claim = find(claims, req.url)
      if (claim !== undefined) {
        claim.upgrade(req, resOrSocket, head)
        return true
      }
      const settings = claims.find(({ destroyUpgrade }) => destroyUpgrade)
      return passOn(resOrSocket, settings?.destroyUpgradeTimeout, () =>
        Reflect.apply(emit, this, arguments),
      )
    } else if (type === 'request') {
      const claim = find(claims, req.url)
      if (claim?.request !== undefined) {
        if (hasRest(req.url, claim) && claim.serveStatic(req, resOrSocket)) return true
        if (!belongsToRoute(server, req)) {
          claim.request(req, resOrSocket)
          return true
        }
      }
    } else if (type === 'listening') {
      for (const { listening } of claims) listening()
    }
    return Reflect.apply(emit, this, arguments)
  }
}

/**
 * An upgrade whose target is a URL, an authority or `*` has no meaning for an origin server, and
 * some versions of Next.js proxy it to where it points (CVE-2026-44578).
 */
function isOriginForm(url) {
  return typeof url === 'string' && url.startsWith('/')
}

/** Whether a URL names something below the path: Engine.IO's own requests do not. */
function hasRest(url, { prefix }) {
  const next = url[prefix.length]
  return next !== undefined && next !== '?'
}

function refuseTarget(socket) {
  socket.on('error', () => {})
  refuseUpgrade(socket, { status: 400, message: 'Bad request' })
}

/**
 * When the Socket.IO path is also a route of the app (Pages API), a request that does not speak
 * Engine.IO is the route's, or the route could never be called again.
 */
function belongsToRoute(server, req) {
  return server.listenerCount('request') > 0 && !speaksEngineIO(req)
}

function speaksEngineIO({ url }) {
  return /[?&](?:EIO|transport)=/.test(url)
}

/** Closing the server closes the sessions first: they would hold it up, or be cut by an exit. */
function wrapClose(server, claims) {
  const { close } = server
  server.close = function upwireClose(...args) {
    for (const claim of claims) claim.close()
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
 * Node only treats a request as an upgrade while somebody listens for upgrades; so one listener
 * stays, also when all others are removed.
 */
function addSentinel(server) {
  const sentinel = () => {}
  const ensure = () => {
    if (server.listenerCount('upgrade') === 0) server.on('upgrade', sentinel)
  }
  server.on('upgrade', sentinel)
  server.on('removeListener', (event) => {
    if (event === 'upgrade') ensure()
  })
  return ensure
}

module.exports = { claim, find, guard, speaksEngineIO, unclaim, CLAIMS }
