'use strict'

const { IncomingMessage } = require('node:http')
const { Socket } = require('node:net')
const { Candidate } = require('../admission/candidate')
const { revisionOf, wantsBase64 } = require('../admission/query')
const { ERRORS, refusal } = require('../admission/refusal')
const { UpgradeResponse, headerLines } = require('../admission/upgrade-response')
const commands = require('../bridge/commands')
const { surface } = require('../errors')
const { refuseUpgrade } = require('../http-server/answers')
const { DetachedRequest } = require('./detached-request')
const { DetachedSocket } = require('./detached-socket')
const { EarlyBytes } = require('./early-bytes')
const { StreamLink } = require('./stream-link')

/** The answer when a listener of the app fails. */
const INTERNAL_ERROR = { status: 500, message: 'Internal Server Error' }

/** An upgrade that the ladder accepts or refuses. It is refused with plain HTTP, or taken over from Node. */
class WebSocketUpgrade extends Candidate {
  #socket
  /** What Node has read behind the request; it moves to `#early` when app code is asked. */
  #head
  /** What the client sends while app code is asked. @type {EarlyBytes | undefined} */
  #early
  /** What middlewares have added to the 101. @type {UpgradeResponse | undefined} */
  #response
  /** The checked headers of the opening handshake. */
  #key
  #protocol
  /** The extensions that the client offers, if the engine supports any. */
  #extensions
  /** Whether app code may have seen the request object. If so, the session keeps that object. */
  #isSeen

  /** @param {boolean} isSeen whether the app has called `handleUpgrade` itself */
  constructor(engine, req, socket, head, isSeen) {
    super(engine, req, socket, true)
    this.#socket = socket
    this.#head = head
    this.#isSeen = isSeen || Object.getPrototypeOf(req) !== IncomingMessage.prototype
    // Until the session has the connection, a reset must not become an uncaught error.
    socket.on('error', ignore)
  }

  /** The client would read an earlier response as frames. */
  checkConnection() {
    return isPipelined(this.#socket) ? refusal(ERRORS.BAD_REQUEST) : undefined
  }

  /** Reads what the client sends ahead of its answer. Too much of it ends the wait. */
  startWaiting() {
    const { engine, remoteAddress } = this
    this.#isSeen = true
    this._wait(this.#socket)
    this.#early = new EarlyBytes(this.#socket)
    this.#early.start(this.#head, (reason, met) => {
      engine._onLimit({ ...met, action: 'refused' }, { remoteAddress })
      this.pending.refuse(reason)
    })
    this.#head = undefined
  }

  stopWaiting() {
    this.#early.take()
  }

  middlewareResponse() {
    this.#response = new UpgradeResponse(this.req, this.#socket)
    return this.#response
  }

  get isAnswered() {
    return this.#response.finished
  }

  checkOpeningHandshake() {
    const { engine, req } = this
    const { httpVersion, headers, rawHeaders } = req
    this.#key = headers['sec-websocket-key']
    this.#protocol = headers['sec-websocket-protocol']
    if (engine._compresses) this.#extensions = headers['sec-websocket-extensions']
    const refused = engine._native.verifyUpgrade(
      httpVersion,
      headers.host,
      countHeader(rawHeaders, 'host'),
      headers.upgrade,
      headers.connection,
      this.#key,
      headers['sec-websocket-version'],
      this.#protocol,
      headers['transfer-encoding'],
      headers['content-length'],
      this.#extensions,
    )
    if (refused === null) return undefined
    const context = { name: 'TRANSPORT_HANDSHAKE_ERROR', message: refused.message }
    const extra = refused.isVersion ? { headers: { 'Sec-WebSocket-Version': '13' } } : {}
    return refusal(ERRORS.BAD_REQUEST, context, extra)
  }

  /** Gives a polling session this WebSocket to probe. */
  join(session) {
    const link = this.#makeLink()
    if (link === undefined) return
    session._startProbe()
    const isTaken = commands.command('probe', session, this.engine._native, ...link.arguments)
    this.#handOver(link.stream, isTaken, session)
  }

  open() {
    const { engine, req, id } = this
    // Once Node has let go of its connection, the socket has no addresses.
    const detached = this.#isSeen ? undefined : new DetachedSocket(this.#socket)
    const link = this.#makeLink()
    if (link === undefined) return
    const opened = engine._native.openWebSocket(id, ...link.arguments)
    const isReplaced = opened.taken && !this.#isSeen
    const request = isReplaced ? new DetachedRequest(req, detached) : req
    const session = engine._open(this, 'websocket', opened, request)
    if (isReplaced) detached._follow(session)
    this.#handOver(link.stream, opened.taken, session)
    engine._connect(session)
  }

  /**
   * Collects what the native side needs to take the connection, and makes the stream that carries its bytes
   * if it cannot. `undefined` when the connection has ended, or a listener for headers has failed.
   */
  #makeLink() {
    const socket = this.#socket
    if (socket.destroyed || socket.readableEnded) {
      socket.destroy()
      return undefined
    }
    const head = this.#early?.take() ?? this.#head
    const lines = this.#headerLines()
    if (lines === undefined) return undefined
    const rest = socket.read?.()
    const bytes = rest ? Buffer.concat([head, rest]) : head
    const early = bytes.length > 0 ? bytes : undefined
    const stream = new StreamLink(socket)
    return {
      stream,
      arguments: [
        descriptorOf(socket),
        stream.number,
        this.#key,
        this.#protocol,
        this.#extensions,
        lines,
        revisionOf(this.req),
        wantsBase64(this.req),
        early,
      ],
    }
  }

  /** Header lines for the 101, from middlewares and engine.io's header events. */
  #headerLines() {
    const { engine, req, id } = this
    const response = this.#response
    if (response === undefined && !engine._addsHeaders) return ''
    this.#isSeen = true
    response?.writeHead(101)
    const headers = response?._toObject() ?? {}
    if (engine._emitHeaders(headers, req, id)) {
      try {
        return headerLines(headers)
      } catch (error) {
        surface(error)
      }
    }
    refuseUpgrade(this.#socket, INTERNAL_ERROR)
    return undefined
  }

  /** Lets Node forget a connection that was taken; otherwise the stream carries it from here on. */
  #handOver(stream, isTaken, session) {
    this.#response?._follow(session)
    if (isTaken) this.#socket.destroy()
    else stream.start(session)
  }

  answerRefusal(reason) {
    this.#early?.take()
    refuseUpgrade(this.#socket, { ...reason, status: reason.upgradeStatus ?? reason.status })
  }
}

/** The descriptor of one of Node's plain TCP sockets that has nothing left to write; -1 for others. */
function descriptorOf(socket) {
  const isPlain = Object.getPrototypeOf(socket) === Socket.prototype
  if (!isPlain || socket.writableLength > 0) return -1
  const fd = socket._handle?.fd
  return Number.isInteger(fd) && fd >= 0 ? fd : -1
}

/** Whether an earlier response on this connection has not been written yet. */
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
