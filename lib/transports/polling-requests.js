'use strict'

const { surface } = require('../errors')
const { awaitRoom, hasRoom } = require('./receive-room')
const { GrowingBuffer } = require('./growing-buffer')
const { failRequest } = require('../http-server/answers')
const staging = require('../bridge/commands')
const { Fault } = require('../bridge/binding')

/** Answers from here on are reported as sent, because they count against `maxSendBuffer`. */
const REPORT_FROM = 64 * 1024

/** Answers of one session that may be on their way: a client asks again when it has read the last one. */
const MAX_LEAVING = 16

/** Headers of a POST's answer, `ok`. */
const POSTED = { 'Content-Type': 'text/html', 'Content-Length': 2, 'cache-control': 'no-store' }

/** A noop packet: an answer that nobody misses. */
const NOOP = '6'

let lastToken = 0

/** Headers of a GET's answer, in engine.io's spelling. */
function payloadHeaders(req, length) {
  return withAgent(req, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': length,
    'cache-control': 'no-store',
  })
}

/** Old Internet Explorers break payloads that look like scripts. */
function withAgent({ headers: { 'user-agent': agent } }, headers) {
  if (agent !== undefined && (agent.includes(';MSIE') || agent.includes('Trident/'))) {
    headers['X-XSS-Protection'] = '0'
  }
  return headers
}

/** The HTTP side of a polling session: at most one GET and one POST at a time. */
class PollingRequests {
  #socket
  #get
  #post
  #parkedAt = 0
  /** Answered GETs whose answers have not left. */
  #leaving = new Set()
  /** Second GETs, which the session is about to refuse. */
  #refused = new Map()

  constructor(socket) {
    this.#socket = socket
  }

  /** Whether a GET is parked that nothing written since will be answered with. */
  isParkedSince(wroteAt) {
    return this.#get !== undefined && wroteAt < this.#parkedAt
  }

  /** A GET: parked until there are packets. `headers` are those of its answer, if made already. */
  park(req, res, headers) {
    lastToken = (lastToken + 1) >>> 0
    const get = { req, res, token: lastToken, headers }
    if (this.#get === undefined) {
      this.#get = get
      this.#parkedAt = staging.currentTick()
    } else {
      this.#refused.set(get.token, get)
    }
    res.on('close', () => this.#onGetClose(get))
    staging.command('get', this.#socket, get.token)
  }

  #onGetClose(get) {
    this.#refused.delete(get.token)
    this.#leaving.delete(get)
    this.#letGo()
    if (get.answered) {
      if (get.answered >= REPORT_FROM) staging.command('getSent', this.#socket, get.answered)
      return
    }
    if (this.#get === get) this.#get = undefined
    if (this.#socket.readyState !== 'closed') staging.command('getLost', this.#socket, get.token)
  }

  /** The payload for a parked GET. */
  answer(token, payload, length) {
    if (this.#get?.token === token) {
      const get = this.#get
      this.#get = undefined
      return this.#respond(get, payload, length)
    }
    const refused = this.#refused.get(token)
    if (refused !== undefined) return this.#respond(refused, payload, length)
    // The client has dropped the GET while its answer was on the way here.
    if (payload !== NOOP) staging.command('fault', this.#socket, Fault.PollLost)
  }

  #respond(get, payload, length) {
    const { req, res } = get
    get.answered = length
    this.#leaving.add(get)
    if (this.#leaving.size > MAX_LEAVING) staging.command('fault', this.#socket, Fault.PostOverlap)
    const headers = get.headers ?? payloadHeaders(req, length)
    headers['Content-Length'] = length
    // A kept connection would hold up a server that is closing.
    if (this.#socket.server._isClosed) headers.Connection = 'close'
    const isDone = this.#write(req, res, headers, payload, get.headers !== undefined)
    // What the answer would have carried is lost.
    if (!isDone) this.#socket.close(true)
  }

  /** Answers with 200. Returns `false` when a listener for headers has failed, or set bad ones. */
  #write(req, res, headers, body, isEmitted) {
    if (res.headersSent || res.destroyed) return true
    if (!isEmitted && !this.#emitHeaders(headers, req, res)) return false
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

  #emitHeaders(headers, req, res) {
    this.#socket._transport?.emit('headers', headers, req)
    return this.#socket.server._emitHeaders(headers, req, () => failRequest(res))
  }

  /** The second of two GETs. */
  refuse(token) {
    const get = this.#refused.get(token)
    if (get === undefined) return
    this.#refused.delete(token)
    get.answered = 1
    refuseBody(get.res, 400)
  }

  /** A POST: its packets go to the session when the body is complete. */
  receive(req, res) {
    const socket = this.#socket
    if (this.#post !== undefined) {
      refuseBody(res, 400, req)
      const first = this.#post
      this.#post = undefined
      first.isOver = true
      first.stopWaiting?.()
      refuseBody(first.res, 400, first.req)
      return staging.command('fault', socket, Fault.PostOverlap)
    }
    const refusal = refuseContent(req, socket.server.opts.maxHttpBufferSize)
    if (refusal !== undefined) {
      refuseBody(res, refusal.status, req)
      return staging.command('fault', socket, refusal.fault)
    }
    const body = new GrowingBuffer(socket.server.opts.maxHttpBufferSize)
    this.#post = { req, res, isOver: false, isRead: false, body }
    if (socket.upgrading) staging.command('postBegun', socket)
    this.#watch(this.#post)
    if (!staging.isBusy(socket)) this.readPost()
  }

  /**
   * A POST waits unread while the session has more packets than JavaScript has taken, or all sessions
   * together have too much.
   */
  readPost() {
    const post = this.#post
    if (post === undefined || post.isRead) return
    if (!hasRoom()) {
      return waitForRoom(post, () => {
        if (!staging.isBusy(this.#socket)) this.readPost()
      })
    }
    post.isRead = true
    this.#collect(post)
  }

  #collect(post) {
    const { req, res } = post
    const limit = this.#socket.server.opts.maxHttpBufferSize
    req.on('data', (chunk) => {
      if (post.isOver) return
      if (post.body.length + chunk.length <= limit) {
        post.body.add(chunk)
        return this.#countBody(post)
      }
      this.#finishPost(post)
      refuseBody(res, 413, req)
      staging.command('fault', this.#socket, Fault.PostTooLarge)
    })
    req.on('end', () => {
      if (post.isOver) return
      this.#finishPost(post)
      staging.command('post', this.#socket, post.body.bytes)
      this.#write(req, res, withAgent(req, { ...POSTED }), 'ok')
    })
  }

  /** Counts a body that comes in pieces, and stops reading it while there is no room. */
  #countBody(post) {
    const { req, body } = post
    if (body.length === Number(req.headers['content-length'])) return
    staging.command('postProgress', this.#socket, body.capacity)
    if (hasRoom()) return
    req.pause()
    waitForRoom(post, () => req.resume())
  }

  #watch(post) {
    post.req.on('close', () => {
      if (post.isOver) return
      this.#finishPost(post)
      staging.command('fault', this.#socket, Fault.PostLost)
    })
  }

  #finishPost(post) {
    post.isOver = true
    post.stopWaiting?.()
    if (this.#post === post) this.#post = undefined
    this.#letGo()
  }

  get #isIdle() {
    return this.#refused.size === 0 && this.#leaving.size === 0 && this.#post === undefined
  }

  /** An upgraded session needs none of this any more when the last request has ended. */
  #letGo() {
    const socket = this.#socket
    if (socket._leftPolling === this && this.#isIdle) socket._leftPolling = undefined
  }

  /** A WebSocket is about to be probed: the session waits for a POST that has begun. */
  announcePost() {
    if (this.#post !== undefined) staging.command('postBegun', this.#socket)
  }

  /**
   * The session has moved to WebSocket. A GET that is still here crossed that: it gets a noop, and a
   * POST is still read. Returns whether there is anything left to do.
   */
  retire() {
    if (this.#get !== undefined) this.answer(this.#get.token, NOOP, 1)
    if (!staging.isBusy(this.#socket)) this.readPost()
    return !this.#isIdle
  }

  /** The session is over: what is still open is ended; what a lost peer does not read is cut. */
  end(isGivenUp) {
    const { closeTimeout } = this.#socket.server.opts
    for (const get of this.#leaving) cut(get, isGivenUp ? 0 : closeTimeout)
    if (this.#get !== undefined) this.answer(this.#get.token, '1', 1)
    for (const token of [...this.#refused.keys()]) this.refuse(token)
    if (this.#post !== undefined) {
      const post = this.#post
      this.#finishPost(post)
      refuseBody(post.res, 400, post.req)
    }
  }
}

/** Lets a POST go on once there is room; one that waits already is not entered again. */
function waitForRoom(post, resume) {
  post.stopWaiting ??= awaitRoom(() => {
    post.stopWaiting = undefined
    resume()
  })
}

/** Ends a connection whose answer has not left in time. */
function cut({ req, res }, milliseconds) {
  // A response that is queued behind others has no socket.
  const destroy = () => req.socket?.destroy()
  if (milliseconds === 0) return destroy()
  const timer = setTimeout(destroy, milliseconds)
  timer.unref()
  res.once('close', () => clearTimeout(timer))
}

/** What a POST's headers tell that makes it bad. */
function refuseContent({ headers }, limit) {
  if (headers['content-type'] === 'application/octet-stream') {
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

/** An empty refusal. With a body still on its way, the connection ends. */
function refuseBody(res, status, req) {
  if (res.headersSent || res.destroyed) return
  res.writeHead(status, { 'Content-Length': 0, Connection: 'close' })
  res.end(() => {
    if (req !== undefined && !req.complete) req.socket?.destroySoon()
  })
}

module.exports = { PollingRequests, payloadHeaders }
