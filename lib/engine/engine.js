'use strict'

const { randomFillSync } = require('node:crypto')
const { createServer } = require('node:http')
const { Admission } = require('../admission/client-limits')
const native = require('../bridge/binding')
const { start, streams } = require('../bridge/events')
const { Drain } = require('./drain')
const { shutdownError } = require('./close-error')
const { EarlyBytes } = require('../transports/early-bytes')
const { EngineSocket } = require('./engine-socket')
const { claimsOf } = require('../http-server/wrap-server')
const { GONE, Handshake, idRefusal } = require('../admission/pending-request')
const { refuseHeaders } = require('../admission/header-limit')
const { LimitCounters } = require('./limit-counters')
const { ObservedEmitter } = require('./observed-emitter')
const { pathPrefix, readDrainOptions, readOptions } = require('./options')
const { OriginRule } = require('../admission/origin/rule')
const { PendingRequests, kindOf } = require('../admission/pending-requests')
const { payloadHeaders } = require('../transports/polling-requests')
const { enterQueue } = require('../admission/queued-responses')
const { failRequest, refuseRequest } = require('../http-server/answers')
const {
  ERRORS,
  MESSAGES,
  busy,
  refusal,
  tooFast,
  tooMany,
  tooManySessions,
} = require('../admission/refusal')
const staging = require('../bridge/commands')
const { WebSocketUpgrade } = require('../transports/websocket-upgrade')
const { guarded, surface, warnOnce } = require('../errors')

/** What the native check of a good request answers with. */
const GET = 0
const POST = 1
const HANDSHAKE = 3
/** That of a good handshake while too much of what peers have sent is undelivered. */
const OVERLOADED = 4

const ID_BYTES = 15
const pool = Buffer.alloc(ID_BYTES * 256)
let used = pool.length

/** Milliseconds that a close waits until each peer's close frame has been tried. */
const CLOSE_PATIENCE = 250

/**
 * What a request asks for: `sid` names the session that it is of, `isHandshake` says that it may become
 * one.
 * @typedef {{ sid?: string, kind: string, isHandshake: boolean, isPreflight: boolean,
 *   remoteAddress?: string }} Asked
 */

/** An Engine.IO server: engine.io's `Server`. */
class Engine extends ObservedEmitter {
  static errors = ERRORS
  static errorMessages = MESSAGES
  /** The version of the Engine.IO protocol. */
  static protocol = 4

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

  constructor(opts = {}) {
    super()
    this.opts = readOptions(opts)
    /** Open sessions by id. */
    this.clients = Object.create(null)
    this.clientsCount = 0
    this.middlewares = []
    this._pending = new PendingRequests()
    this._admission = new Admission(this.opts)
    this._isClosed = false
    /** The last call of `drain()`. @type {Drain | undefined} */
    this._drain = undefined
    /** Its socket.io server was closed: it does not come back when the HTTP server listens again. */
    this._isRetired = false
    this._limits = new LimitCounters()
    this._origins = new OriginRule(this.opts)
    /** Answers requests on the path that are not Engine.IO's: socket.io's client bundle. */
    this._serveStatic = () => false
    start(this.opts)
    this._native = new native.NativeEngine({
      closeTimeout: this.opts.closeTimeout,
      dropWhenSlow: this.opts.slowConsumer === 'drop',
      maxDepth: this.opts.maxDepth,
      maxFragments: this.opts.maxFragments,
      maxHttpBufferSize: this.opts.maxHttpBufferSize,
      maxMessageRate: this.opts.maxMessageRate,
      maxPendingPongs: this.opts.maxPendingPongs,
      maxReceiveQueue: this.opts.maxReceiveQueue,
      maxSendBuffer: this.opts.maxSendBuffer,
      pingInterval: this.opts.pingInterval,
      pingTimeout: this.opts.pingTimeout,
      polling: this.opts.transports.includes('polling'),
      upgradeTimeout: this.opts.upgradeTimeout,
      websocket: this.opts.transports.includes('websocket'),
    })
    if (this.opts.cors) this.use(this._origins.cors())
  }

  /** Adds an Express-style middleware for every request and upgrade on this engine's path. */
  use(middleware) {
    this.middlewares.push(middleware)
  }

  /** The transports that a session on the given one may upgrade to. */
  upgrades(transport) {
    return transport === 'polling' && this._canUpgrade() ? ['websocket'] : []
  }

  /** 20 characters of `[A-Za-z0-9_-]`: 120 random bits. May be replaced; may return a promise. */
  generateId() {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    used += ID_BYTES
    return pool.toString('base64url', used - ID_BYTES, used)
  }

  /** Takes the requests and upgrades of one path of an HTTP server. */
  attach(server, options = {}) {
    const settings = readOptions({ ...this.opts, ...options })
    claimsOf(server).add({
      prefix: pathPrefix(settings),
      destroyUpgrade: settings.destroyUpgrade,
      destroyUpgradeTimeout: settings.destroyUpgradeTimeout,
      isReplaceable: () => this._isOver,
      upgrade: (req, socket, head) => this._upgrade(req, socket, head, true),
      serveStatic: (req, res) => this._serveStatic(req, res),
      request: (req, res) => this.handleRequest(req, res),
      listening: () => {
        if (!this._isRetired) this._reopen()
      },
      close: () => this._shutdown(),
    })
    this._isRetired = false
    if (server.listening) this._reopen()
  }

  _reopen() {
    this._isClosed = false
    if (this._drain?.isOver) this._drain = undefined
  }

  /** Whether there are no new sessions: the engine is closed, or about to be. */
  get _takesNone() {
    return this._isClosed || this._drain !== undefined
  }

  /** Handles a polling request. */
  handleRequest(req, res) {
    req.res = res
    prepare(req)
    const refused = enterQueue(req, res) ?? refuseHeaders(req)
    if (refused !== undefined) return this._refuse(req, refused, (it) => refuseRequest(res, it))
    const asked = this._describe(req, false, req.socket)
    const early = this._refuseEarly(asked)
    if (early !== undefined) return this._refuse(req, early, (it) => refuseRequest(res, it))
    if (this._isPlain(req)) return this._serve(req, res, asked)
    return this._serveSlowly(req, res, asked)
  }

  /** Handles an upgrade request. */
  handleUpgrade(req, socket, head) {
    return this._upgrade(req, socket, head, false)
  }

  /** `isUnseen`: the request comes from Node, and the app has not had it in hands. */
  _upgrade(req, socket, head, isUnseen) {
    prepare(req)
    return new WebSocketUpgrade(this, req, socket, head, isUnseen).run()
  }

  /** Who asks for `drain` is told of what waits already, too. */
  _observe(event) {
    if (event !== 'drain') return
    for (const socket of Object.values(this.clients)) socket._awaitDrain()
  }

  /** Whether another engine may take its path. */
  get _isOver() {
    return this._isClosed || this._isRetired
  }

  /** Whether nothing of the app's has to be asked before a request is served. */
  _isPlain(req) {
    if (this.middlewares.length > 0 || this._origins.mayAsk(req)) return false
    return namesSession(req) || this._isPlainHandshake()
  }

  _isPlainHandshake() {
    return this.opts.allowRequest === undefined && this.generateId === Engine.prototype.generateId
  }

  _serve(req, res, asked) {
    const verdict = this._verify(req, false)
    if (typeof verdict !== 'number') {
      return this._refuse(req, verdict, (answer) => refuseRequest(res, answer))
    }
    if (verdict === GET) return this._session(req)._polling.park(req, res)
    if (verdict === POST) return this._session(req)._polling.receive(req, res)
    this._openPolling(req, res, this.generateId(req), asked)
  }

  async _serveSlowly(req, res, asked) {
    const refuse = (answer) => this._refuse(req, answer, (it) => refuseRequest(res, it))
    const crowded = this._refuseCrowd(asked)
    if (crowded !== undefined) return refuse(crowded)
    const handshake = new Handshake(this, res, asked)
    try {
      const stopped =
        (await handshake.middlewares(req, res)) ?? (await handshake.origin(req, false))
      if (stopped === GONE) return
      const verdict = stopped ?? this._verify(req, false)
      if (typeof verdict !== 'number') return refuse(verdict)
      if (verdict === GET) return this._session(req)._polling.park(req, res)
      if (verdict === POST) return this._session(req)._polling.receive(req, res)
      const refused = await this._admit(handshake, req, (id) => {
        if (!res.destroyed) this._openPolling(req, res, id, asked, handshake)
      })
      if (refused !== undefined && refused !== GONE) refuse(refused)
    } finally {
      handshake.end()
    }
  }

  /**
   * Asks the app whether a new session may be, and for its id; `open` is called with it at once,
   * before another handshake can take the same id.
   */
  async _admit(handshake, req, open) {
    if (this.opts.allowRequest !== undefined) {
      const stopped = await handshake.allow(req)
      if (stopped !== undefined) return stopped
    }
    const answer = await handshake.id(req)
    if (answer === GONE || answer.refusal !== undefined) return answer.refusal ?? GONE
    if (this._takesNone) return closing()
    const error = this._checkId(answer.id)
    return error === undefined ? open(answer.id) : idRefusal(error)
  }

  /**
   * What a request asks for.
   * @returns {Asked}
   */
  _describe(req, isUpgrade, socket) {
    const isNamed = namesSession(req)
    const session = isNamed ? this._session(req) : undefined
    const kind = kindOf(req, isUpgrade)
    if (session !== undefined) {
      const { id: sid, remoteAddress } = session
      return { sid, kind, isHandshake: false, isPreflight: false, remoteAddress }
    }
    return {
      sid: undefined,
      kind,
      isHandshake: !isNamed && req.method === 'GET',
      isPreflight: !isUpgrade && req.method === 'OPTIONS',
      remoteAddress: this._admission.clientAddress(socket?.remoteAddress, req),
    }
  }

  /** The refusal of a request that cannot become a session now, whatever the app says. */
  _refuseEarly({ sid, isHandshake, isPreflight, remoteAddress }) {
    if (sid !== undefined || isPreflight) return undefined
    if (isHandshake && this._takesNone) return closing()
    const rate = this._admission.meetsRate(remoteAddress)
    const met = rate ?? (isHandshake ? this._admission.meetsSessions(remoteAddress) : undefined)
    if (met === undefined) return undefined
    this._onLimit({ ...met, action: 'refused' }, { remoteAddress })
    return rate === undefined ? tooManySessions() : tooFast()
  }

  /** The refusal of a request that would be one more than may wait. */
  _refuseCrowd({ sid, kind, remoteAddress }) {
    if (sid !== undefined) {
      const isFull = this._pending.isFull(sid, kind)
      return isFull ? refusal(ERRORS.BAD_REQUEST, { name: 'OVERLAP', sid }) : undefined
    }
    const { maxPendingHandshakes: limit } = this.opts
    const value = this._pending.handshakes
    if (value < limit) return undefined
    const met = { name: 'maxPendingHandshakes', limit, value, action: 'refused' }
    this._onLimit(met, { remoteAddress })
    return tooMany()
  }

  /** A number for a good request, else a refusal, or `ASK` before the app has been asked. */
  _verify(req, isUpgrade) {
    const { transport, EIO, sid } = req._query
    const verdict = this._native.verify(
      req.method,
      isUpgrade,
      string(transport),
      string(EIO),
      string(sid),
      req.headers.origin,
    )
    if (isBeforeOrigin(verdict)) return explain(verdict, req)
    const stopped = this._origins.check(req, isUpgrade)
    if (stopped !== undefined) return stopped
    if (typeof verdict !== 'number') return explain(verdict, req)
    if (verdict < HANDSHAKE) return verdict
    if (this._takesNone) return closing()
    return verdict === OVERLOADED ? this._overloaded(req) : verdict
  }

  _overloaded(req) {
    const { maxTotalReceiveQueue: limit } = this.opts
    const { undelivered, unfinished } = native.stats()
    const met = { limit, value: undelivered + unfinished, action: 'refused' }
    const remoteAddress = this._admission.clientAddress(req.socket?.remoteAddress, req)
    this._onLimit({ name: 'maxTotalReceiveQueue', ...met }, { remoteAddress })
    return busy('OVERLOADED', 'Too many connections')
  }

  _session(req) {
    return this.clients[req._query.sid]
  }

  /** Why an id cannot be used, if so. */
  _checkId(id) {
    if (
      typeof id !== 'string' ||
      id === '' ||
      id.length > 256 ||
      /[\x00-\x1f\x7f]/.test(id) ||
      !id.isWellFormed()
    ) {
      return new TypeError('generateId must give a string of 1 to 256 characters without controls')
    }
    if (Object.hasOwn(this.clients, id)) return new Error('generateId gave an id that is in use')
    return undefined
  }

  _openPolling(req, res, id, { remoteAddress }, handshake) {
    const headers = this._handshakeHeaders(req, res, id)
    if (res.headersSent) return
    const opened = this._native.openPolling(id, this._canUpgrade())
    const socket = this._open(req, id, 'polling', opened, remoteAddress, handshake)
    socket._polling.park(req, res, headers)
    this._connect(socket)
  }

  /** Headers of a polling handshake, if somebody wants to see them before there is a session. */
  _handshakeHeaders(req, res, id) {
    if (!this._hasHeaderListeners()) return undefined
    const { pingInterval, pingTimeout, maxHttpBufferSize: maxPayload } = this.opts
    const upgrades = this.upgrades('polling')
    const packet = JSON.stringify({ sid: id, upgrades, pingInterval, pingTimeout, maxPayload })
    const headers = payloadHeaders(req, 1 + Buffer.byteLength(packet))
    return this._emitHeaders(headers, req, () => failRequest(res)) ? headers : undefined
  }

  _hasHeaderListeners() {
    return this.listenerCount('headers') > 0 || this.listenerCount('initial_headers') > 0
  }

  _canUpgrade() {
    return this.opts.allowUpgrades && this.opts.transports.includes('websocket')
  }

  /** Makes the face of a session, in the place of its handshake if that has waited for the app. */
  _open(req, id, transport, { slot, generation }, remoteAddress, handshake) {
    const socket = new EngineSocket(this, {
      id,
      request: req,
      remoteAddress,
      place: handshake?.handOver() ?? this._admission.take(remoteAddress),
      transport,
      slot,
      generation,
    })
    staging.stage()
    this.clients[id] = socket
    this.clientsCount++
    return socket
  }

  /** Announces a session. A listener that fails ends it: socket.io may not have seen it. */
  _connect(socket) {
    try {
      this.emit('connection', socket)
    } catch (error) {
      socket.close(true)
      surface(error)
    }
  }

  /** A session is over. */
  _forget(socket) {
    this._native.forget(socket.id)
    this._pending.endSession(socket.id)
    this._admission.release(socket._place)
    delete this.clients[socket.id]
    this.clientsCount--
    this._drain?.count(socket)
  }

  /** Answers a refused request and tells the app; the answer goes first. */
  _refuse(req, reason, answer) {
    answer(reason)
    const { code, context } = reason
    guarded(() => this.emit('connection_error', { req, code, message: MESSAGES[code], context }))
  }

  /**
   * engine.io's hooks for the headers of an answer. When a listener fails, the request is answered
   * by `fail` (500), the error surfaces, and the result is `false`.
   */
  _emitHeaders(headers, req, fail) {
    try {
      if (!namesSession(req)) this.emit('initial_headers', headers, req)
      this.emit('headers', headers, req)
      return true
    } catch (error) {
      surface(error)
      fail()
      return false
    }
  }

  /** A limit was met: at most ten events a second and name, the rest is counted. */
  _onLimit({ name, limit, value, action, times }, socket) {
    if (!this._limits.count(name, action, times)) return
    const { id: sid, remoteAddress } = socket ?? {}
    guarded(() => this.emit('limit', { name, limit, value, action, sid, remoteAddress }))
    warnOnce(
      `limit ${name} ${action}`,
      'UPWIRE_LIMIT',
      `${name} (${limit}) was met: ${action === 'dropped' ? 'a message' : 'a connection'} was ${action}; see the limits in the README`,
    )
  }

  /** Counters of this engine, and sums over all engines of this thread. */
  stats() {
    return {
      sessions: this.clientsCount,
      pendingHandshakes: this._pending.handshakes,
      earlyBytes: EarlyBytes.total,
      streams: streams.size,
      limits: this._limits.totals(),
      ...native.stats(),
    }
  }

  /**
   * Closes the engine little by little: handshakes get 503, `rate` sessions a second a close frame with
   * 1001 or a close packet, and the rest after `deadline` milliseconds.
   * @returns {Promise<{ closed: number, left: number, forced: number }>}
   */
  drain(options) {
    const checked = readDrainOptions(options)
    if (this._drain === undefined) {
      this._drain = new Drain(this, checked)
      this._pending.refuseHandshakes(closing())
      this._drain.start()
    }
    return this._drain.done
  }

  /** Closes all sessions; handshakes get 503 until the server listens again. */
  close() {
    this._shutdown()
    return this
  }

  _shutdown() {
    if (this._isClosed) return
    this._isClosed = true
    this._drain?.end()
    this._pending.refuseAll(closing())
    const sockets = Object.values(this.clients)
    for (const socket of sockets) socket._shutdown()
    // The I/O threads write the close frames while listeners run here.
    staging.flush()
    guarded(() => this.emit('shutdown'))
    for (const socket of sockets) {
      guarded(() => socket._finish('forced close', shutdownError(socket._transportName)))
    }
    // The caller may exit at once: the close frames go out first.
    if (sockets.length > 0) staging.flushAndWait(CLOSE_PATIENCE)
  }
}

/** Reads the query once; what is verified is what the app sees. */
function prepare(req) {
  if (req._query) return
  const start = req.url.indexOf('?')
  req._query = parseQuery(start < 0 ? '' : req.url.slice(start + 1).split('#', 1)[0])
}

/** What a query of Engine.IO's own clients is made of: nothing that has to be decoded. */
const PLAIN_QUERY = /^(?:[A-Za-z][\w-]*=[\w.-]*(?:&|$))*$/

/** Names and values of a query; the last of a name counts. */
function parseQuery(search) {
  if (!PLAIN_QUERY.test(search)) return Object.fromEntries(new URLSearchParams(search))
  const query = {}
  for (const pair of search.split('&')) {
    const equals = pair.indexOf('=')
    if (equals > 0) query[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  return query
}

/** Whether a request names a session; an empty id is none. */
function namesSession({ _query: { sid } }) {
  return typeof sid === 'string' && sid !== ''
}

function string(value) {
  return typeof value === 'string' ? value : undefined
}

function closing() {
  return busy('DRAINING', 'Server is shutting down')
}

/** Whether a request is refused for what comes before the Origin rule. */
function isBeforeOrigin({ code, name }) {
  return code === ERRORS.UNKNOWN_TRANSPORT || name === 'INVALID_ORIGIN'
}

/** The context of engine.io for a refusal of the native check. */
function explain({ code, name, previousTransport, isMethod }, req) {
  const { transport, EIO, sid } = req._query
  if (isMethod) {
    return refusal(code, { method: req.method }, { status: 405, headers: { Allow: 'GET, POST' } })
  }
  const contexts = {
    [ERRORS.UNKNOWN_TRANSPORT]: { transport },
    [ERRORS.UNKNOWN_SID]: { sid },
    [ERRORS.BAD_HANDSHAKE_METHOD]: { method: req.method },
    [ERRORS.UNSUPPORTED_PROTOCOL_VERSION]: { protocol: 3 },
  }
  const named = {
    INVALID_ORIGIN: { name, origin: req.headers.origin },
    TRANSPORT_MISMATCH: { name, transport, previousTransport },
    PROTOCOL_MISMATCH: { name, protocol: EIO === '4' ? 4 : 3, previousProtocol: 4 },
    TRANSPORT_HANDSHAKE_ERROR: { name },
  }
  return refusal(code, name ? named[name] : contexts[code])
}

module.exports = { Engine }
