'use strict'

// Between the moment that Next.js listens and the moment that the app's instrumentation has run,
// nobody owns our path: an upgrade that comes then could never be answered. So the path is claimed
// as soon as there is a server, and what comes for it waits until the app says who answers.

const http = require('node:http')
const https = require('node:https')
const { EarlyBytes } = require('../transports/early-bytes')
const { warnOnce } = require('../errors')
const { claim, guard, unclaim } = require('../http-server/path-claims')
const { enterQueue } = require('../admission/queued-responses')
const { refuseRequest, refuseUpgrade } = require('../http-server/answers')
const { busy, tooMany } = require('../admission/refusal')
const { DEFAULT_PATH, pathKey } = require('../http-server/path')
const { registry } = require('../socketio/registry')
const { passOn } = require('../http-server/unowned-upgrades')
const { isCertainlyNextServer, knock, searchServer } = require('./server-search')
const { isAtLeast, nextVersion } = require('../environment/version')
const { mayProxy } = require('../environment/render-workers')

/** Requests and upgrades that may wait. */
const MAX_HELD = 256
/** Milliseconds that one may wait. */
const PATIENCE = 10_000
/** Milliseconds for others to answer an upgrade that was given up: engine.io's `destroyUpgradeTimeout`. */
const UNANSWERED = 1000
/** Milliseconds after another path was taken, in which ours may be, too. */
const DOUBT = 1000
/** Milliseconds after the first, after which nobody is expected to take the path any more. */
const LIFETIME = 60_000

/** The path that `upwire/preload` and `withUpwire` hold, when they are told no other. */
function earlyPath() {
  return process.env.UPWIRE_PATH || DEFAULT_PATH
}

/** Holds what comes for a path, until somebody runs Socket.IO in this process. */
function holdEarly(path = undefined) {
  if (registry.attachments.size > 0) return
  const key = pathKey(path ?? earlyPath())
  const { early } = registry
  if (early !== undefined) {
    // A path that is named counts more than one that was guessed.
    if (path === undefined || early.path === key || process.env.UPWIRE_PATH) return
    early.giveUp()
  }
  registry.early = new EarlyClaim(key)
}

/** The same in a process that listens already. */
function holdLate(path) {
  holdEarly(path)
  knock()
}

class EarlyClaim {
  #search
  #claim
  #timer
  #doubt
  #isClosing = false
  /** What waits: each is dispatched anew, or refused. */
  #held = new Set()

  constructor(path) {
    this.path = path
    this.#search = searchServer(isCertainlyNextServer, (server) => this.#take(server))
    /** The server whose path is held. */
    this.server = undefined
  }

  /** Ends the search; what is held already goes on waiting. */
  stop() {
    this.#search()
  }

  #take(server) {
    const version = nextVersion()
    // What comes to this server may never reach the process that runs the app.
    if (version !== undefined && mayProxy(version)) return guard(server)
    const { length } = this.path
    try {
      this.#claim = claim(server, {
        prefix: this.path,
        owns: (url) => url.length === length || '/?'.includes(url[length]),
        destroyUpgrade: true,
        destroyUpgradeTimeout: UNANSWERED,
        engine: { _isOver: true },
        upgrade: (req, socket, head) => this.#holdUpgrade(req, socket, head),
        // An API route attaches when it is requested, for which that request must reach it.
        request: this.path.startsWith('/api/')
          ? undefined
          : (req, res) => this.#holdRequest(req, res),
        serveStatic: () => false,
        listening: () => this.#setClosing(false),
        close: () => this.#setClosing(true),
        giveWay: ({ prefix }) => this.#giveWay(prefix),
      })
      this.server = server
    } catch (error) {
      if (error.code !== 'ERR_UPWIRE_PATH_IN_USE') throw error
    }
  }

  #holdUpgrade(req, socket, head) {
    socket.on('error', () => {})
    const early = new EarlyBytes(socket)
    const dispatch = (bytes) => this.server.emit('upgrade', req, socket, bytes)
    const entry = this.#hold(socket, {
      dispatch: () => dispatch(early.take()),
      giveUp: () => {
        const bytes = early.take()
        // Next.js leaves open what it does not know.
        passOn(socket, UNANSWERED, () => dispatch(bytes))
      },
      refuse: (reason) => {
        early.take()
        refuseUpgrade(socket, reason)
      },
    })
    if (entry !== undefined) early.start(head, entry.refuse)
  }

  #holdRequest(req, res) {
    const refused = enterQueue(req, res)
    if (refused !== undefined) return refuseRequest(res, refused)
    const dispatch = () => this.server.emit('request', req, res)
    this.#hold(res, {
      dispatch,
      giveUp: dispatch,
      refuse: (reason) => refuseRequest(res, reason),
    })
  }

  /**
   * Holds a request or upgrade, unless there are too many.
   * @param {import('node:events').EventEmitter} peer tells with `close` that the client has left
   */
  #hold(peer, { dispatch, giveUp, refuse }) {
    if (this.#isClosing) return void refuse(draining())
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
      dispatch: () => end(dispatch),
      giveUp: () => end(giveUp),
      refuse: (reason) => end(() => refuse(reason)),
    }
    const forget = () => end(() => {})
    const timer = setTimeout(() => {
      warnOfNobody(this.path)
      entry.refuse(busy('HANDSHAKE_TIMEOUT', 'Handshake timed out'))
    }, PATIENCE)
    timer.unref()
    peer.once('close', forget)
    this.#held.add(entry)
    this.#startLife()
    return entry
  }

  #startLife() {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => this.giveUp(), LIFETIME).unref()
    this.#awaken()
  }

  /** Before 14.2 Next.js runs instrumentation with the first request that is its own. */
  #awaken() {
    const version = nextVersion()
    if (version === undefined || isAtLeast(version, [14, 2])) return
    const { address, port } = this.server.address() ?? {}
    const host = { '::': '::1', '0.0.0.0': '127.0.0.1' }[address] ?? address
    const { get } = this.server instanceof https.Server ? https : http
    const options = { host, port, path: '/', agent: false, rejectUnauthorized: false }
    get(options, (res) => res.resume()).on('error', () => {})
  }

  /** Somebody runs Socket.IO on the server; on another path, ours may still be to come. */
  #giveWay(prefix) {
    if (pathKey(prefix) !== this.path) {
      this.#doubt ??= setTimeout(() => this.#withdraw(prefix), DOUBT).unref()
      return
    }
    this.#end()
    // The app adds its handlers first.
    process.nextTick(() => this.#dispatchAll())
  }

  #withdraw(prefix) {
    warnOnce(
      'early path',
      'UPWIRE_PATH',
      `${this.path} was held for clients that come early, but Socket.IO runs on ${prefix}: ` +
        'say so with withUpwire(config, { path }) or UPWIRE_PATH',
    )
    this.giveUp()
  }

  /** Nobody will take the path: what waits is Next.js's. */
  giveUp() {
    this.stop()
    this.#end()
    for (const entry of [...this.#held]) entry.giveUp()
  }

  #end() {
    clearTimeout(this.#timer)
    clearTimeout(this.#doubt)
    if (this.server !== undefined) unclaim(this.server, this.#claim)
  }

  #dispatchAll() {
    for (const entry of [...this.#held]) entry.dispatch()
  }

  #setClosing(isClosing) {
    this.#isClosing = isClosing
    if (isClosing) for (const entry of [...this.#held]) entry.refuse(draining())
  }
}

function draining() {
  return busy('DRAINING', 'Server is shutting down')
}

function warnOfNobody(path) {
  warnOnce(
    'early',
    'UPWIRE_NOT_REGISTERED',
    `a client has waited ${PATIENCE / 1000} s for Socket.IO on ${path}, and nobody has called ` +
      'registerUpwire() or attach() for it',
  )
}

module.exports = { earlyPath, holdEarly, holdLate }
