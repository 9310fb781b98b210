'use strict'

// A WebSocket request on our path: refused as plain HTTP, or taken over from Node.

const { IncomingMessage } = require('node:http')
const { Socket } = require('node:net')
const { EarlyBytes } = require('./early-bytes')
const { surface } = require('../errors')
const { GONE, Handshake } = require('../admission/pending-request')
const { refuseHeaders } = require('../admission/header-limit')
const { UpgradeResponse, headerLines } = require('../admission/upgrade-response')
const { refuseUpgrade } = require('../http-server/answers')
const { ERRORS, refusal } = require('../admission/refusal')
const staging = require('../bridge/commands')
const { HandshakeRequest } = require('./detached-request')
const { StreamLink } = require('./stream-link')

/** What the native check of a request answers with for the upgrade of a session. */
const UPGRADE = 2

/** The answer when the app's own listeners fail. */
const INTERNAL_ERROR = { status: 500, message: 'Internal Server Error' }

class WebSocketUpgrade {
  #engine
  #req
  #socket
  #head
  /** What it asks for. @type {import('../engine/engine').Asked} */
  #asked
  /** What the peer sends while the app thinks. */
  #early
  #response
  /** The app has not seen the request. */
  #isUnseen

  constructor(engine, req, socket, head, isUnseen) {
    this.#isUnseen = isUnseen && Object.getPrototypeOf(req) === IncomingMessage.prototype
    this.#engine = engine
    this.#req = req
    this.#socket = socket
    this.#head = head
    // From the first tick to the takeover: a reset must never be an uncaught error.
    socket.on('error', ignore)
  }

  run() {
    const engine = this.#engine
    // An earlier response would be read as frames.
    if (isPipelined(this.#socket)) return this.#refuse(refusal(ERRORS.BAD_REQUEST))
    const incomplete = refuseHeaders(this.#req)
    if (incomplete !== undefined) return this.#refuse(incomplete)
    this.#asked = engine._describe(this.#req, true, this.#socket)
    const early = engine._refuseEarly(this.#asked)
    if (early !== undefined) return this.#refuse(early)
    if (engine._isPlain(this.#req)) return this.#runPlain()
    const crowded = engine._refuseCrowd(this.#asked)
    return crowded === undefined ? this.#runSlowly() : this.#refuse(crowded)
  }

  #runPlain() {
    const verdict = this.#verify()
    if (verdict === undefined) return
    if (verdict.isUpgrade) return this.#probe(verdict)
    this.#open(verdict, this.#engine.generateId(this.#req))
  }

  async #runSlowly() {
    const engine = this.#engine
    this.#isUnseen = false
    // The package `cors` would end it, as a preflight.
    if (this.#req.method === 'OPTIONS') {
      return this.#refuse(refusal(ERRORS.BAD_HANDSHAKE_METHOD, { method: 'OPTIONS' }))
    }
    const handshake = new Handshake(engine, this.#socket, this.#asked)
    this.#readEarly(handshake)
    try {
      if (engine.middlewares.length > 0) {
        this.#response = new UpgradeResponse(this.#req, this.#socket)
        const stopped = await handshake.middlewares(this.#req, this.#response)
        if (stopped === GONE || this.#response.finished) return
        if (stopped !== undefined) return this.#refuse(stopped)
      }
      const asked = await handshake.origin(this.#req, true)
      if (asked === GONE) return
      if (asked !== undefined) return this.#refuse(asked)
      const verdict = this.#verify()
      if (verdict === undefined) return
      if (verdict.isUpgrade) return this.#probe(verdict)
      const refused = await engine._admit(handshake, this.#req, (id) =>
        this.#open(verdict, id, handshake),
      )
      if (refused !== undefined && refused !== GONE) this.#refuse(refused)
    } finally {
      handshake.end()
      this.#early.take()
    }
  }

  /** Reads what the peer sends ahead; too much of it refuses the handshake. */
  #readEarly(handshake) {
    const engine = this.#engine
    const { remoteAddress } = this.#asked
    this.#early = new EarlyBytes(this.#socket)
    this.#early.start(this.#head, (reason, met) => {
      engine._onLimit({ ...met, action: 'refused' }, { remoteAddress })
      handshake.refuse(reason)
    })
    this.#head = undefined
  }

  /** All checks; a request that fails one has been answered. */
  #verify() {
    const { httpVersion, headers, rawHeaders } = this.#req
    const verdict = this.#engine._verify(this.#req, true)
    if (typeof verdict !== 'number') return void this.#refuse(verdict)
    const key = headers['sec-websocket-key']
    const protocol = headers['sec-websocket-protocol']
    const refused = this.#engine._native.verifyUpgrade(
      httpVersion,
      headers.host,
      countHeader(rawHeaders, 'host'),
      headers.upgrade,
      headers.connection,
      key,
      headers['sec-websocket-version'],
      protocol,
      headers['transfer-encoding'],
      headers['content-length'],
    )
    if (refused === null) return { key, protocol, isUpgrade: verdict === UPGRADE }
    const context = { name: 'TRANSPORT_HANDSHAKE_ERROR', message: refused.message }
    const extra = refused.isVersion ? { headers: { 'Sec-WebSocket-Version': '13' } } : {}
    this.#refuse(refusal(ERRORS.BAD_REQUEST, context, extra))
    return undefined
  }

  #refuse(reason) {
    this.#early?.take()
    this.#engine._refuse(this.#req, reason, (it) =>
      refuseUpgrade(this.#socket, { ...it, status: it.upgradeStatus ?? it.status }),
    )
  }

  #open(request, id, handshake) {
    const peer = this.#socket.remoteAddress
    const { remoteAddress } = this.#asked
    const link = this.#link(request)
    if (link === undefined) return
    const opened = this.#engine._native.openWebSocket(id, ...link.native)
    const isReplaced = opened.taken && this.#isUnseen
    const seen = isReplaced ? new HandshakeRequest(this.#req, peer) : this.#req
    const session = this.#engine._open(seen, id, 'websocket', opened, remoteAddress, handshake)
    this.#hand(link, opened.taken, session)
    this.#engine._connect(session)
  }

  #probe(request) {
    const session = this.#engine._session(this.#req)
    const link = this.#link(request)
    if (link === undefined) return
    session.upgrading = true
    session._polling.announcePost()
    const taken = this.#engine._native.probe(session.id, ...link.native)
    staging.stage()
    this.#hand(link, taken, session)
  }

  /**
   * How the connection is to travel: the stream that can carry it, and what the native side needs.
   * `undefined` when there is no connection any more.
   */
  #link({ key, protocol }) {
    const socket = this.#socket
    if (socket.destroyed || socket.readableEnded) {
      socket.destroy()
      return undefined
    }
    const head = this.#early?.take() ?? this.#head
    const headers = this.#headers()
    if (headers === undefined) return undefined
    const rest = socket.read?.()
    const bytes = rest ? Buffer.concat([head, rest]) : head
    const early = bytes.length > 0 ? bytes : undefined
    // engine.io's `b64`: a client that cannot read binary frames.
    const base64 = Boolean(this.#req._query.b64)
    const stream = new StreamLink(socket)
    return {
      stream,
      native: [takeable(socket), stream.number, key, protocol, headers, base64, early],
    }
  }

  /** Header lines for the 101, from middlewares and engine.io's header events. */
  #headers() {
    const engine = this.#engine
    if (this.#response === undefined && !engine._hasHeaderListeners()) return ''
    this.#isUnseen = false
    this.#response?.writeHead(101)
    const headers = this.#response?._toObject() ?? {}
    const fail = () => refuseUpgrade(this.#socket, INTERNAL_ERROR)
    if (!engine._emitHeaders(headers, this.#req, fail)) return undefined
    try {
      return headerLines(headers)
    } catch (error) {
      surface(error)
      fail()
      return undefined
    }
  }

  /** Lets Node forget a connection that was taken; else its stream goes on carrying it. */
  #hand({ stream }, taken, session) {
    this.#response?._follow(session)
    if (taken) this.#socket.destroy()
    else stream.start(session)
  }
}

/** The descriptor of a plain TCP socket of Node's with nothing left to write, else -1. */
function takeable(socket) {
  const isPlain = Object.getPrototypeOf(socket) === Socket.prototype
  if (!isPlain || socket.writableLength > 0) return -1
  const fd = socket._handle?.fd
  return Number.isInteger(fd) && fd >= 0 ? fd : -1
}

/** Whether an earlier response on this connection has not been written. */
function isPipelined(socket) {
  const earlier = socket._httpMessage
  return Boolean(earlier) && !earlier.writableFinished
}

function countHeader(rawHeaders, name) {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const given = rawHeaders[index]
    if (given.length === name.length && given.toLowerCase() === name) count++
  }
  return count
}

function ignore() {}

module.exports = { WebSocketUpgrade }
