'use strict'

const { surface } = require('../errors')
const { awaitRoom, hasRoom } = require('./receive-room')
const { GrowingBuffer } = require('./growing-buffer')
const { failRequest } = require('../http-server/answers')
const commands = require('../bridge/commands')
const { Fault, singlePacket } = require('../bridge/binding')
const { REPORTED_FROM } = require('../bridge/contract')

/**
 * How many answers of one session may be on their way. A client asks again only when it has read the last
 * answer.
 */
const MAX_LEAVING = 16

/** Headers of a POST's answer, `ok`. */
const POSTED = { 'Content-Type': 'text/html', 'Content-Length': 2, 'cache-control': 'no-store' }

let lastToken = 0

/** Headers of a GET's answer, in engine.io's spelling. */
function payloadHeaders(req, length, areBytes = false) {
  return withAgent(req, {
    'Content-Type': areBytes ? 'application/octet-stream' : 'text/plain; charset=UTF-8',
    'Content-Length': length,
    'cache-control': 'no-store',
  })
}

/** Old versions of Internet Explorer break payloads that look like scripts. */
function withAgent({ headers: { 'user-agent': agent } }, headers) {
  if (agent !== undefined && (agent.includes(';MSIE') || agent.includes('Trident/'))) {
    headers['X-XSS-Protection'] = '0'
  }
  return headers
}

/**
 * A GET. It is in one of three places: parked as `#get`, surplus in `#surplus`, or answered in `#leaving`.
 * `headers` are those of its answer, if they were made before; `answered` is the length of its answer.
 * @typedef {{ req: object, res: object, token: number, headers: object | undefined, parkedAt: number,
 *   answered: number | undefined }} Get
 */

/**
 * A POST. It is `unread` until the session wants its packets, and `over` when it was answered or is lost.
 * `stopWaiting` exists while it waits for room.
 * @typedef {{ req: object, res: object, state: 'unread' | 'reading' | 'over', body: GrowingBuffer,
 *   stopWaiting: (() => void) | undefined }} Post
 */

/** The HTTP requests of a polling session: at most one GET and one POST at a time. */
class PollingRequests {
  #socket
  /** The index of the function that answers call, if the session polls with JSONP. */
  #jsonp
  /** The parked GET. @type {Get | undefined} */
  #get
  /** @type {Post | undefined} */
  #post
  /** Answered GETs whose answers have not been sent. @type {Set<Get>} */
  #leaving = new Set()
  /** Second GETs, which the session is about to refuse, by token. @type {Map<number, Get>} */
  #surplus = new Map()

  constructor(socket, jsonp) {
    this.#socket = socket
    this.#jsonp = jsonp
  }

  /** A payload with one packet: a close packet, or a noop. */
  #single(isClose) {
    return singlePacket(isClose, this.#socket.protocol, this.#jsonp)
  }

  /** Whether a GET is parked that arrived after the tick `wroteAt`, so that no written message answers it. */
  isParkedSince(wroteAt) {
    return this.#get !== undefined && wroteAt < this.#get.parkedAt
  }

  /** Parks a GET until there are packets. `headers` are those of its answer, if they were made before. */
  park(req, res, headers) {
    lastToken = (lastToken + 1) >>> 0
    const parkedAt = commands.currentTick()
    const get = { req, res, token: lastToken, headers, parkedAt, answered: undefined }
    if (this.#get === undefined) this.#get = get
    else this.#surplus.set(get.token, get)
    res.on('close', () => this.#onGetClose(get))
    commands.command('get', this.#socket, get.token)
  }

  #onGetClose(get) {
    this.#surplus.delete(get.token)
    this.#leaving.delete(get)
    this.#releaseIfIdle()
    if (get.answered !== undefined) {
      // Larger answers count against `maxSendBuffer` until they are sent.
      if (get.answered >= REPORTED_FROM) commands.command('getSent', this.#socket, get.answered)
      return
    }
    if (this.#get === get) this.#get = undefined
    if (this.#socket.readyState !== 'closed') commands.command('getLost', this.#socket, get.token)
  }

  /** Answers a GET with a payload, whose length is in bytes. `areBytes` is whether it is no text. */
  answer(token, payload, length, areBytes) {
    if (this.#get?.token === token) {
      const get = this.#get
      this.#get = undefined
      return this.#respond(get, payload, length, areBytes)
    }
    const surplus = this.#surplus.get(token)
    if (surplus !== undefined) return this.#respond(surplus, payload, length, areBytes)
    // The client dropped the GET while its answer was on the way from the I/O thread.
    // A noop may be lost.
    if (payload !== this.#single(false)) commands.command('fault', this.#socket, Fault.PollLost)
  }

  #answerSingle(isClose) {
    const payload = this.#single(isClose)
    this.answer(this.#get.token, payload, payload.length, false)
  }

  #respond(get, payload, length, areBytes) {
    const { req, res } = get
    get.answered = length
    this.#leaving.add(get)
    if (this.#leaving.size > MAX_LEAVING) commands.command('fault', this.#socket, Fault.PostOverlap)
    const headers = get.headers ?? payloadHeaders(req, length, areBytes)
    headers['Content-Length'] = length
    // A keep-alive connection would delay the close of the server.
    if (this.#socket.server._isClosed) headers.Connection = 'close'
    const isDone = this.#write(req, res, headers, payload, get.headers !== undefined)
    // The packets of the payload are lost.
    if (!isDone) this.#socket.close(true)
  }

  /** Answers with 200. Returns `false` if a listener for headers has failed, or has set invalid ones. */
  #write(req, res, headers, body, isEmitted) {
    if (res.headersSent || res.destroyed) return true
    if (!isEmitted && !this.#emitHeaders(headers, req)) {
      failRequest(res)
      return false
    }
    try {
      res.writeHead(200, headers)
    } catch (error) {
      surface(error)
      failRequest(res)
      return false
    }
    res.end(body)
    return true
  }

  #emitHeaders(headers, req) {
    this.#socket._transport?.emit('headers', headers, req)
    return this.#socket.server._emitHeaders(headers, req)
  }

  /** Refuses the second of two GETs. */
  refuse(token) {
    const get = this.#surplus.get(token)
    if (get === undefined) return
    this.#surplus.delete(token)
    get.answered = 0
    refuseBody(get.res, 400)
  }

  /** Whether the body of a POST may be bytes. */
  get #takesBytes() {
    return this.#socket.protocol === 3 && this.#jsonp === undefined
  }

  /** Receives a POST. Its packets go to the session when the body is complete. */
  receive(req, res) {
    const socket = this.#socket
    if (this.#post !== undefined) {
      refuseBody(res, 400, req)
      const first = this.#post
      this.#post = undefined
      endPost(first)
      refuseBody(first.res, 400, first.req)
      return commands.command('fault', socket, Fault.PostOverlap)
    }
    const refusal = refuseContent(req, socket.server.opts.maxHttpBufferSize, this.#takesBytes)
    if (refusal !== undefined) {
      refuseBody(res, refusal.status, req)
      return commands.command('fault', socket, refusal.fault)
    }
    const body = new GrowingBuffer(socket.server.opts.maxHttpBufferSize)
    this.#post = { req, res, state: 'unread', body, stopWaiting: undefined }
    if (socket.upgrading) commands.command('postBegun', socket)
    this.#detectLoss(this.#post)
    if (!commands.isBusy(socket)) this.readPost()
  }

  /**
   * Reads the POST, unless it is read already. It waits while the session has too many packets that
   * JavaScript has not taken, or all sessions together have too much.
   */
  readPost() {
    const post = this.#post
    if (post === undefined || post.state !== 'unread') return
    if (!hasRoom()) {
      return waitForRoom(post, () => {
        if (!commands.isBusy(this.#socket)) this.readPost()
      })
    }
    post.state = 'reading'
    this.#collect(post)
  }

  #collect(post) {
    const { req, res } = post
    const limit = this.#socket.server.opts.maxHttpBufferSize
    req.on('data', (chunk) => {
      if (post.state === 'over') return
      if (post.body.length + chunk.length <= limit) {
        post.body.add(chunk)
        return this.#countBody(post)
      }
      this.#finishPost(post)
      refuseBody(res, 413, req)
      commands.command('fault', this.#socket, Fault.PostTooLarge)
    })
    req.on('end', () => {
      if (post.state === 'over') return
      this.#finishPost(post)
      const name = isBinary(req) ? 'postBytes' : 'post'
      commands.command(name, this.#socket, post.body.bytes)
      this.#write(req, res, withAgent(req, { ...POSTED }), 'ok')
    })
  }

  /** Counts a body that comes in pieces, and stops reading it while there is no room. */
  #countBody(post) {
    const { req, body } = post
    if (body.length === Number(req.headers['content-length'])) return
    commands.command('postProgress', this.#socket, body.capacity)
    if (hasRoom()) return
    req.pause()
    waitForRoom(post, () => req.resume())
  }

  #detectLoss(post) {
    post.req.on('close', () => {
      if (post.state === 'over') return
      this.#finishPost(post)
      commands.command('fault', this.#socket, Fault.PostLost)
    })
  }

  #finishPost(post) {
    endPost(post)
    if (this.#post === post) this.#post = undefined
    this.#releaseIfIdle()
  }

  get #isIdle() {
    return this.#surplus.size === 0 && this.#leaving.size === 0 && this.#post === undefined
  }

  /** Lets an upgraded session forget this object when the last request has ended. */
  #releaseIfIdle() {
    if (this.#isIdle) this.#socket._releasePolling()
  }

  /** Announces a POST that has begun: the probe of a WebSocket, which comes next, waits for it. */
  announcePost() {
    if (this.#post !== undefined) commands.command('postBegun', this.#socket)
  }

  /**
   * The session has moved to WebSocket. A GET that is still parked crossed the upgrade and gets a noop; a
   * POST is still read. Returns whether there is anything left to do.
   */
  retire() {
    if (this.#get !== undefined) this.#answerSingle(false)
    if (!commands.isBusy(this.#socket)) this.readPost()
    return !this.#isIdle
  }

  /**
   * Ends the requests of a session that has closed. Answers that are on their way may take `closeTimeout`
   * to be sent, or no time at all if the client is unresponsive.
   */
  end(isUnresponsive) {
    const { closeTimeout } = this.#socket.server.opts
    for (const get of this.#leaving) closeConnectionIn(isUnresponsive ? 0 : closeTimeout, get)
    if (this.#get !== undefined) this.#answerSingle(true)
    for (const token of [...this.#surplus.keys()]) this.refuse(token)
    if (this.#post !== undefined) {
      const post = this.#post
      this.#finishPost(post)
      refuseBody(post.res, 400, post.req)
    }
  }

  /** The requests, for `EngineSocket.debugState()`. */
  debugState() {
    return {
      isGetParked: this.#get !== undefined,
      post: this.#post?.state ?? null,
      answersLeaving: this.#leaving.size,
    }
  }
}

function endPost(post) {
  post.state = 'over'
  post.stopWaiting?.()
}

/** Calls `resume` when there is room. A POST that waits already keeps its place. */
function waitForRoom(post, resume) {
  post.stopWaiting ??= awaitRoom(() => {
    post.stopWaiting = undefined
    resume()
  })
}

/** Closes the connection of an answer that has not been sent in time. */
function closeConnectionIn(milliseconds, { req, res }) {
  // The request's socket: a response that is queued behind others has none.
  const destroy = () => req.socket?.destroy()
  if (milliseconds === 0) return destroy()
  const timer = setTimeout(destroy, milliseconds)
  timer.unref()
  res.once('close', () => clearTimeout(timer))
}

function isBinary({ headers }) {
  return headers['content-type'] === 'application/octet-stream'
}

/** Checks the headers of a POST that describe its body. */
function refuseContent(req, limit, takesBytes) {
  const { headers } = req
  if (isBinary(req) && !takesBytes) {
    return { status: 400, fault: Fault.BinaryContent }
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return { status: 415, fault: Fault.EncodedContent }
  }
  if (Number(headers['content-length']) > limit) {
    return { status: 413, fault: Fault.PostTooLarge }
  }
  return undefined
}

/** Refuses a request with an empty body. If its own body has not been read, the connection is closed. */
function refuseBody(res, status, req) {
  if (res.headersSent || res.destroyed) return
  res.writeHead(status, { 'Content-Length': 0, Connection: 'close' })
  res.end(() => {
    if (req !== undefined && !req.complete) req.socket?.destroySoon()
  })
}

module.exports = { PollingRequests, payloadHeaders }
