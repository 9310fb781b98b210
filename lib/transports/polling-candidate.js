'use strict'

const { Candidate } = require('../admission/candidate')
const { jsonpIndex, revisionOf, wantsBase64 } = require('../admission/query')
const { enterQueue } = require('../admission/queued-responses')
const { Verdict } = require('../bridge/binding')
const { failRequest, refuseRequest } = require('../http-server/answers')
const { payloadHeaders } = require('./polling-requests')

/** A polling request that the ladder accepts or refuses. */
class PollingCandidate extends Candidate {
  #res

  constructor(engine, req, res) {
    super(engine, req, req.socket, false)
    this.#res = res
  }

  checkConnection() {
    return enterQueue(this.req, this.#res)
  }

  startWaiting() {
    this._wait(this.#res)
  }

  stopWaiting() {}

  middlewareResponse() {
    return this.#res
  }

  /** Only upgrades are checked for this: see `WebSocketUpgrade`. */
  get isAnswered() {
    return false
  }

  checkOpeningHandshake() {
    return undefined
  }

  join(session) {
    const { req, verdict } = this
    if (verdict === Verdict.Get) session._polling.park(req, this.#res)
    else session._polling.receive(req, this.#res)
  }

  open() {
    const { engine, req } = this
    const res = this.#res
    if (res.destroyed) return
    const headers = this.#handshakeHeaders()
    if (res.headersSent) return
    const opened = engine._native.openPolling(...this.#opening())
    const session = engine._open(this, 'polling', opened, req)
    session._polling.park(req, res, headers)
    engine._connect(session)
  }

  /** What the native side needs to open the session. */
  #opening() {
    const { engine, req, id } = this
    return [id, engine._canUpgrade(), revisionOf(req), wantsBase64(req), jsonpIndex(req)]
  }

  /** The headers of the handshake's answer, if there are listeners that see them before the session. */
  #handshakeHeaders() {
    const { engine, req, id } = this
    if (!engine._addsHeaders) return undefined
    const headers = payloadHeaders(req, engine._native.openLength(...this.#opening()))
    // writeHead() replaces the cookies that middlewares have set.
    const cookies = this.#res.getHeader('Set-Cookie')
    if (cookies !== undefined) headers['Set-Cookie'] = [cookies].flat()
    if (engine._emitHeaders(headers, req, id)) return headers
    failRequest(this.#res)
    return undefined
  }

  answerRefusal(reason) {
    refuseRequest(this.#res, reason)
  }
}

module.exports = { PollingCandidate }
