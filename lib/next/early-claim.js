'use strict'

// Between the moment at which Next.js listens and the moment at which the app's instrumentation has run,
// our path has no owner, and an upgrade that arrives then could never be answered. An early claim takes
// the path as soon as there is a server, and holds requests and upgrades until the app runs Socket.IO.

const http = require('node:http')
const https = require('node:https')
const { next: log } = require('../debug')
const { EarlyBytes } = require('../transports/early-bytes')
const { warnOnce } = require('../errors')
const { claimsOf, refuseForeignTargets } = require('../http-server/wrap-server')
const { logRefusal } = require('../admission/loggable')
const { enterQueue } = require('../admission/queued-responses')
const { refuseRequest, refuseUpgrade } = require('../http-server/answers')
const { shuttingDown, timedOut, tooMany } = require('../admission/refusal')
const { DEFAULT_PATH, pathKey } = require('../http-server/path')
const { registry } = require('../socketio/registry')
const { passToListeners } = require('../http-server/unowned-upgrades')
const { connectToOwnPort, isCertainlyNextServer, searchServer } = require('./server-search')
const { isAtLeast, nextVersion } = require('../environment/version')
const { mayProxy } = require('../environment/render-workers')

/** Requests and upgrades that are held at the same time; more are refused (503). */
const MAX_HELD = 256
/** Milliseconds that a request or upgrade is held before it is refused (503). */
const MAX_WAIT = 10_000
/** Milliseconds until an upgrade that was left to Next.js gets 404: engine.io's `destroyUpgradeTimeout`. */
const UNANSWERED_TIMEOUT = 1000
/** Milliseconds to wait for Socket.IO on our path after it has started on another path of the server. */
const OTHER_PATH_GRACE = 1000
/** Milliseconds from the first held request on, after which the claim is given up. */
const LIFETIME = 60_000

/** The path that `upwire/preload` and `withUpwire` claim when they are given none. */
function earlyPath() {
  return process.env.UPWIRE_PATH || DEFAULT_PATH
}

/** Claims a path until Socket.IO runs in this process; the server is yet to be found. */
function claimEarly(path = undefined) {
  if (registry.attachments.size > 0) {
    log('no early claim: Socket.IO already runs in this process')
    return
  }
  const key = pathKey(path ?? earlyPath())
  const { early } = registry
  if (early !== undefined) {
    // A path that the app names replaces the default one that upwire/preload has claimed.
    if (path === undefined || early.path === key || process.env.UPWIRE_PATH) return
    log('the early claim changes from %s to %s', early.path, key)
    early.giveUp()
  }
  log('searching for the server in order to claim %s early', key)
  registry.early = new EarlyClaim(key)
}

/** The same in the process in which Next.js already listens. */
function claimEarlyOnOwnPort(path) {
  claimEarly(path)
  connectToOwnPort()
}

/**
 * The state of an early claim. Only a claim that has the path can hold or refuse requests, and only it has
 * timers.
 * @typedef {{ name: 'searching', stopSearch: () => void }} Searching
 * @typedef {{ name: 'holding' | 'refusing', server: http.Server, pathClaim: object,
 *   expiry?: NodeJS.Timeout, withdrawal?: NodeJS.Timeout }} Claimed `refusing`: the server is closing
 * @typedef {{ name: 'over', server?: http.Server }} Over `server`: the one whose path was claimed
 */

class EarlyClaim {
  /** @type {Searching | Claimed | Over} */
  #state
  /** The requests and upgrades that wait; each is replayed, left to Next.js, or refused. */
  #held = new Set()

  constructor(path) {
    this.path = path
    const stopSearch = searchServer(isCertainlyNextServer, (server) => this.#claimPath(server))
    this.#state = { name: 'searching', stopSearch }
  }

  /** The server that was found, also after the claim is over; `undefined` when its path was not claimed. */
  get server() {
    return this.#state.server
  }

  /** Stops the search; a claim that has the path keeps it. */
  stopSearch() {
    if (this.#state.name !== 'searching') return
    this.#state.stopSearch()
    this.#state = { name: 'over' }
  }

  #claimPath(server) {
    this.#state = { name: 'over' }
    const version = nextVersion()
    // This server may pass its requests to processes that cannot be reached from here.
    if (version !== undefined && mayProxy(version)) {
      log('no early claim: this version of Next.js may proxy requests to other processes')
      return refuseForeignTargets(server)
    }
    const { length } = this.path
    // The requests of an API route must reach it, because the route attaches Socket.IO when it runs.
    const isRoute = this.path.startsWith('/api/')
    try {
      const pathClaim = claimsOf(server).add({
        prefix: this.path,
        owns: (url) => url.length === length || '/?'.includes(url[length]),
        destroyUpgrade: true,
        destroyUpgradeTimeout: UNANSWERED_TIMEOUT,
        isReplaceable: () => true,
        upgrade: (req, socket, head) => this.#holdUpgrade(req, socket, head),
        request: isRoute ? undefined : (req, res) => this.#holdRequest(req, res),
        serveStatic: () => false,
        listening: () => this.#setClosing(false),
        close: () => this.#setClosing(true),
        giveWay: ({ prefix }) => this.#giveWay(prefix),
      })
      this.#state = { name: 'holding', server, pathClaim }
      log('claimed %s early, %s', this.path, isRoute ? 'for upgrades' : 'for requests and upgrades')
    } catch (error) {
      if (error.code !== 'ERR_UPWIRE_PATH_IN_USE') throw error
      log('no early claim: an engine already has %s', this.path)
    }
  }

  #holdUpgrade(req, socket, head) {
    socket.on('error', () => {})
    const early = new EarlyBytes(socket)
    const emit = (bytes) => this.server.emit('upgrade', req, socket, bytes)
    const entry = this.#hold(socket, {
      replay: () => emit(early.take()),
      leaveToNext: () => {
        const bytes = early.take()
        // Next.js may leave an upgrade open when it does not know the path.
        passToListeners(socket, UNANSWERED_TIMEOUT, () => emit(bytes))
      },
      refuse: (reason) => {
        early.take()
        logRefusal(req, socket.remoteAddress, reason)
        refuseUpgrade(socket, reason)
      },
    })
    if (entry !== undefined) early.start(head, entry.refuse)
  }

  #holdRequest(req, res) {
    const refuse = (reason) => {
      logRefusal(req, req.socket.remoteAddress, reason)
      refuseRequest(res, reason)
    }
    const refused = enterQueue(req, res)
    if (refused !== undefined) return refuse(refused)
    const emit = () => this.server.emit('request', req, res)
    this.#hold(res, {
      replay: emit,
      leaveToNext: emit,
      refuse,
    })
  }

  /**
   * Holds a request or upgrade, unless the server is closing or too many are held.
   * @param {import('node:events').EventEmitter} peer emits `close` when the client leaves
   */
  #hold(peer, { replay, leaveToNext, refuse }) {
    if (this.#state.name === 'refusing') return void refuse(shuttingDown())
    if (this.#held.size >= MAX_HELD) {
      return void refuse(tooMany())
    }
    const end = (action) => {
      clearTimeout(timer)
      peer.removeListener('close', forget)
      this.#held.delete(entry)
      action()
    }
    const entry = {
      replay: () => end(replay),
      leaveToNext: () => end(leaveToNext),
      refuse: (reason) => end(() => refuse(reason)),
    }
    const forget = () => end(() => {})
    const timer = setTimeout(() => {
      warnOfWait(this.path)
      entry.refuse(timedOut())
    }, MAX_WAIT)
    timer.unref()
    peer.once('close', forget)
    this.#held.add(entry)
    log('holding a request or upgrade for %s (%d held)', this.path, this.#held.size)
    this.#expectApp()
    return entry
  }

  /** From the first held request on, the app has a limited time to run Socket.IO. */
  #expectApp() {
    if (this.#state.expiry !== undefined) return
    this.#state.expiry = setTimeout(() => {
      log('no Socket.IO on %s within %d ms', this.path, LIFETIME)
      this.giveUp()
    }, LIFETIME).unref()
    this.#triggerInstrumentation()
  }

  /** Requests a page, because before 14.2 Next.js runs instrumentation at the first request it handles. */
  #triggerInstrumentation() {
    const version = nextVersion()
    if (version === undefined || isAtLeast(version, [14, 2])) return
    log('requesting a page, so that Next.js runs instrumentation')
    const { address, port } = this.server.address() ?? {}
    const host = { '::': '::1', '0.0.0.0': '127.0.0.1' }[address] ?? address
    const { get } = this.server instanceof https.Server ? https : http
    const options = { host, port, path: '/', agent: false, rejectUnauthorized: false }
    get(options, (res) => res.resume()).on('error', () => {})
  }

  /**
   * Called when Socket.IO starts on a path of the server. If that is another path, Socket.IO may still start
   * on ours a moment later.
   */
  #giveWay(prefix) {
    if (pathKey(prefix) !== this.path) {
      log('Socket.IO runs on %s; keeping %s for another %d ms', prefix, this.path, OTHER_PATH_GRACE)
      this.#state.withdrawal ??= setTimeout(() => this.#withdraw(prefix), OTHER_PATH_GRACE).unref()
      return
    }
    log('Socket.IO runs on %s: replaying %d requests and upgrades', prefix, this.#held.size)
    this.#unclaim()
    // The app adds its handlers in this tick, so the requests are replayed in the next one.
    process.nextTick(() => {
      for (const entry of [...this.#held]) entry.replay()
    })
  }

  #withdraw(prefix) {
    warnOnce(
      'early path',
      'UPWIRE_PATH',
      `${this.path} was claimed for clients that connect early, but Socket.IO runs on ${prefix}: ` +
        'set that path in withUpwire(config, { path }) or in UPWIRE_PATH',
    )
    this.giveUp()
  }

  /** Gives the path back, because Socket.IO will not run on it: Next.js answers the held requests. */
  giveUp() {
    this.stopSearch()
    this.#unclaim()
    log('gave up %s, leaving %d requests and upgrades to Next.js', this.path, this.#held.size)
    for (const entry of [...this.#held]) entry.leaveToNext()
  }

  #unclaim() {
    if (this.#state.name !== 'holding' && this.#state.name !== 'refusing') return
    const { server, pathClaim, expiry, withdrawal } = this.#state
    clearTimeout(expiry)
    clearTimeout(withdrawal)
    claimsOf(server).release(pathClaim)
    this.#state = { name: 'over', server }
  }

  #setClosing(isClosing) {
    // The server's events reach a claim only while it has the path.
    this.#state = { ...this.#state, name: isClosing ? 'refusing' : 'holding' }
    if (isClosing) for (const entry of [...this.#held]) entry.refuse(shuttingDown())
  }
}

function warnOfWait(path) {
  warnOnce(
    'early',
    'UPWIRE_NOT_REGISTERED',
    `a client has waited ${MAX_WAIT / 1000} s for Socket.IO on ${path}, but neither ` +
      'registerUpwire() nor attach() was called for this path',
  )
}

module.exports = { claimEarly, claimEarlyOnOwnPort, earlyPath }
