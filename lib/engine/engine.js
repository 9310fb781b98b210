'use strict'

const { createServer } = require('node:http')
const { ClientLimits } = require('../admission/client-limits')
const { decide } = require('../admission/ladder')
const { OriginRule, handshakePage } = require('../admission/origin/rule')
const { PendingRequests } = require('../admission/pending-requests')
const { addSessionCookie } = require('./session-cookie')
const { jsonpIndex, namesSession, readQuery, revisionOf } = require('../admission/query')
const { ERRORS, MESSAGES, shuttingDown } = require('../admission/refusal')
const { randomId } = require('../admission/session-id')
const native = require('../bridge/binding')
const commands = require('../bridge/commands')
const { streams } = require('../bridge/events')
const { startThreads } = require('../bridge/io-threads')
const { guarded, surface, unsupported, warnOnce } = require('../errors')
const { claimsOf } = require('../http-server/wrap-server')
const { EarlyBytes } = require('../transports/early-bytes')
const { PollingCandidate } = require('../transports/polling-candidate')
const { WebSocketUpgrade } = require('../transports/websocket-upgrade')
const { engineState } = require('./debug-state')
const { Drain } = require('./drain')
const { EngineSocket } = require('./engine-socket')
const { LimitCounters } = require('./limit-counters')
const { ObservedEmitter } = require('./observed-emitter')
const { nativeDeflate } = require('./deflate-options')
const { Transport } = require('./transport')
const { WebSocketServerFacade } = require('./websocket-server-facade')
const {
  fixNativeOptions,
  nativeLimits,
  pathPrefix,
  readDrainOptions,
  readOptions,
} = require('./options')

const NATIVE = 'packets and WebSockets are handled in native code'

/** Milliseconds that a close waits for the close frames to be written. */
const CLOSE_PATIENCE = 250

/**
 * - `open`: takes new sessions
 * - `draining`: takes none, and closes those that it has one after the other
 * - `retiring`: its socket.io server closes; the engine is closed in a moment
 * - `closed`: has no sessions, and opens again when its HTTP server listens
 * - `retired`: has no sessions, and only opens again when it is attached
 *
 * An engine that is open or draining owns its path; in the other states another engine may claim it.
 * @typedef {'open' | 'draining' | 'retiring' | 'closed' | 'retired'} EngineState
 */

/**
 * An Engine.IO server: engine.io's `Server`. Members whose names begin with `_` are for the other files
 * of upwire.
 */
class Engine extends ObservedEmitter {
  static errors = ERRORS
  static errorMessages = MESSAGES
  /** The version of the Engine.IO protocol. */
  static protocol = 4
  /** engine.io's exports, so that `const { Server, listen } = Engine` replaces `require('engine.io')`. */
  static Server = Engine
  static Socket = EngineSocket
  static Transport = Transport
  static transports = Object.freeze({ polling: Transport, websocket: Transport })

  static get parser() {
    throw unsupported('Engine.parser', `${NATIVE}; use the package engine.io-parser`)
  }

  static get uServer() {
    throw unsupported('Engine.uServer', 'the engine runs on servers of node:http')
  }

  /** Makes an engine and attaches it to an HTTP server: engine.io's function `attach()`. */
  static attach(server, options = {}) {
    const engine = new Engine(options)
    engine.attach(server)
    return engine
  }

  /** Makes an engine on an HTTP server of its own, and listens: engine.io's function `listen()`. */
  static listen(port, options = {}, callback = undefined) {
    if (typeof options === 'function') return Engine.listen(port, {}, options)
    const server = createServer((_req, res) => res.writeHead(501).end('Not Implemented'))
    const engine = Engine.attach(server, options)
    engine.httpServer = server
    server.listen(port, callback)
    return engine
  }

  #state = /** @type {EngineState} */ ('open')
  /** The last call of `drain()`, until the engine opens again. @type {Drain | undefined} */
  #drain
  #limitCounters = new LimitCounters()
  /** @type {WebSocketServerFacade | undefined} */
  #webSocketServer

  constructor(opts = {}) {
    super()
    this.opts = fixNativeOptions(readOptions(opts))
    /** Open sessions by id. @type {Record<string, EngineSocket>} */
    this.clients = Object.create(null)
    this.clientsCount = 0
    this.middlewares = []
    this._pending = new PendingRequests()
    this._clientLimits = new ClientLimits(this.opts)
    this._origins = new OriginRule(this.opts)
    /**
     * Answers requests below the path that are not Engine.IO's: socket.io's client bundle.
     * @type {(req: object, res: object) => boolean} returns whether it has answered
     */
    this._serveStatic = () => false
    startThreads(this.opts)
    const { allowEIO3, transports } = this.opts
    const deflate = nativeDeflate(this.opts)
    const limits = nativeLimits(this.opts)
    this._native = new native.NativeEngine(limits, transports, allowEIO3, deflate)
    /** Whether permessage-deflate is offered to clients. */
    this._compresses = deflate !== undefined
    if (this.opts.cors) this.use(this._origins.cors())
  }

  /** Adds an Express-style middleware for every request and upgrade on this engine's path. */
  use(middleware) {
    this.middlewares.push(middleware)
  }

  /** Stands for engine.io's WebSocket server; `undefined` without the transport. */
  get ws() {
    if (!this.opts.transports.includes('websocket')) return undefined
    this.#webSocketServer ??= new WebSocketServerFacade(this.opts)
    return this.#webSocketServer
  }

  /** Reads the query string of a request into `_query`. */
  prepare(req) {
    if (req._query === undefined) readQuery(req)
  }

  /** Refused: the engine cannot use a WebSocket object of another library. */
  onWebSocket() {
    throw unsupported('engine.onWebSocket()', `${NATIVE}; use engine.handleUpgrade()`)
  }

  /** Refused: there is no WebTransport. */
  onWebTransportSession() {
    throw unsupported('engine.onWebTransportSession()', 'the transports are polling and websocket')
  }

  /** Refused: the engine makes its transports. */
  createTransport() {
    throw unsupported('engine.createTransport()', NATIVE)
  }

  /** The transports that a session on the given one may upgrade to. */
  upgrades(transport) {
    return transport === 'polling' && this._canUpgrade() ? ['websocket'] : []
  }

  /** Makes the id of a session. The app may replace it; it may also return a promise. */
  generateId() {
    return randomId()
  }

  /** Whether `generateId` is upwire's own. */
  get _hasDefaultIds() {
    return this.generateId === Engine.prototype.generateId
  }

  /** Takes the requests and upgrades of one path of an HTTP server. */
  attach(server, options = {}) {
    const settings = readOptions({ ...this.opts, ...options })
    claimsOf(server).add({
      prefix: pathPrefix(settings),
      destroyUpgrade: settings.destroyUpgrade,
      destroyUpgradeTimeout: settings.destroyUpgradeTimeout,
      isReplaceable: () => this._isOver,
      upgrade: (req, socket, head) => {
        decide(new WebSocketUpgrade(this, req, socket, head, false))
      },
      serveStatic: (req, res) => this._serveStatic(req, res),
      request: (req, res) => this.handleRequest(req, res),
      listening: () => this.#reopen(),
      close: () => this.#shutDown(),
    })
    if (this.#state === 'retired') this.#state = 'closed'
    if (this.#state === 'retiring') this.#state = this.#drain === undefined ? 'open' : 'draining'
    if (server.listening) this.#reopen()
  }

  #reopen() {
    if (this.#state !== 'closed') return
    this.#state = 'open'
    this.#drain = undefined
  }

  /** The socket.io server of this engine closes, and closes this engine next. */
  _retire() {
    this.#state = this._isClosed ? 'retired' : 'retiring'
  }

  get _isClosed() {
    return this.#state === 'closed' || this.#state === 'retired'
  }

  /** Whether another engine may take its path. */
  get _isOver() {
    return this.#state !== 'open' && this.#state !== 'draining'
  }

  get _refusesHandshakes() {
    return this.#state !== 'open'
  }

  /** Handles a polling request. */
  handleRequest(req, res) {
    req.res = res
    return decide(new PollingCandidate(this, req, res))
  }

  /** Handles an upgrade. */
  handleUpgrade(req, socket, head) {
    return decide(new WebSocketUpgrade(this, req, socket, head, true))
  }

  /** A new `drain` listener also covers messages that are already queued. */
  _observe(event) {
    if (event !== 'drain') return
    for (const socket of Object.values(this.clients)) socket._coverQueued()
  }

  /** Whether polling sessions are offered the upgrade. */
  _canUpgrade() {
    return this.opts.allowUpgrades && this.opts.transports.includes('websocket')
  }

  /**
   * Makes the JavaScript side of a session that the native side has opened for a candidate.
   * @param {import('../admission/candidate').Candidate} candidate
   * @param {object} request the request that the app sees
   * @returns {EngineSocket}
   */
  _open({ id, pending, remoteAddress, req }, transport, { slot, generation }, request) {
    const socket = new EngineSocket(this, {
      id,
      request,
      remoteAddress,
      place: pending?.handOverPlace() ?? this._clientLimits.takePlace(remoteAddress),
      transport,
      protocol: revisionOf(req),
      jsonp: jsonpIndex(req),
      slot,
      generation,
    })
    if (transport === 'polling') {
      socket._handshakePage = handshakePage(request, this._hasDefaultIds)
    }
    commands.scheduleFlush()
    this.clients[id] = socket
    this.clientsCount++
    if (this.opts.initialPacket) socket.write(this.opts.initialPacket)
    return socket
  }

  /** Emits `connection`. If a listener throws, the session is closed: socket.io may not have seen it. */
  _connect(socket) {
    try {
      this.emit('connection', socket)
    } catch (error) {
      socket.close(true)
      surface(error)
    }
  }

  /** Forgets a session that has closed. */
  _forget(socket) {
    this._pending.endSession(socket.id)
    this._clientLimits.releasePlace(socket._place)
    delete this.clients[socket.id]
    this.clientsCount--
    this.#drain?.onSessionClosed(socket)
  }

  /** Whether the first answer of a session has headers that native code does not know. */
  get _addsHeaders() {
    if (this.opts.cookie) return true
    return this.listenerCount('headers') > 0 || this.listenerCount('initial_headers') > 0
  }

  /**
   * Emits engine.io's events for the headers of an answer. Returns `false` when a listener has thrown: the
   * error surfaces, and the caller answers with 500.
   */
  _emitHeaders(headers, req, id) {
    try {
      if (!namesSession(req)) {
        if (this.opts.cookie) addSessionCookie(headers, this.opts.cookie, id)
        this.emit('initial_headers', headers, req)
      }
      this.emit('headers', headers, req)
      return true
    } catch (error) {
      surface(error)
      return false
    }
  }

  /** Counts a limit that was met, and emits `limit`: at most ten events a second for each limit. */
  _onLimit({ name, limit, value, action, times }, socket) {
    if (!this.#limitCounters.count(name, action, times)) return
    const { id: sid, remoteAddress } = socket ?? {}
    guarded(() => this.emit('limit', { name, limit, value, action, sid, remoteAddress }))
    const target = action === 'dropped' ? 'a message' : 'a connection'
    warnOnce(
      `limit ${name} ${action}`,
      'UPWIRE_LIMIT',
      `the limit ${name} (${limit}) was met, and ${target} was ${action}; see the limits in docs/api.md`,
    )
  }

  /** Counters of this engine, and sums over all engines of this thread. */
  stats() {
    return {
      sessions: this.clientsCount,
      pendingHandshakes: this._pending.handshakes,
      earlyBytes: EarlyBytes.total,
      streams: streams.size,
      limits: this.#limitCounters.totals(),
      ...native.stats(),
    }
  }

  /** The engine's state for bug reports: a plain object that can be written as JSON. */
  debugState() {
    return engineState(this, this.#state)
  }

  /**
   * Closes the engine gradually: handshakes get 503, and `rate` sessions a second a close frame 1001 or a
   * close packet. Those that are left after `deadline` milliseconds are closed at once.
   * @returns {Promise<{ closed: number, left: number, forced: number }>}
   */
  drain(options) {
    const checked = readDrainOptions(options)
    if (this.#drain === undefined) {
      if (this.#state === 'open') this.#state = 'draining'
      this.#drain = new Drain(this, checked)
      this._pending.refuseHandshakes(shuttingDown())
      this.#drain.start()
    }
    return this.#drain.done
  }

  /** Closes all sessions. Handshakes get 503 until the server listens again. */
  close() {
    this.#shutDown()
    return this
  }

  #shutDown() {
    if (this._isClosed) return
    this.#state = this.#state === 'retiring' ? 'retired' : 'closed'
    this.#drain?.end()
    this._pending.refuseAll(shuttingDown())
    const sockets = Object.values(this.clients)
    for (const socket of sockets) socket._shutdown()
    // The I/O threads write the close frames while listeners run on this thread.
    commands.flush()
    guarded(() => this.emit('shutdown'))
    for (const socket of sockets) {
      guarded(() => socket._completeShutdown())
    }
    // The caller may exit at once, so wait until the close frames are written.
    if (sockets.length > 0) commands.flushAndWait(CLOSE_PATIENCE)
  }
}

module.exports = { Engine }
