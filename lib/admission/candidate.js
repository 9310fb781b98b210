'use strict'

const { PendingRequest } = require('./pending-request')
const { kindOf } = require('./pending-requests')
const { namesSession, readQuery } = require('./query')

/**
 * A request or an upgrade that the ladder accepts or refuses. The two kinds are `PollingCandidate` and
 * `WebSocketUpgrade`, which add what depends on the transport:
 *
 * - `checkConnection()` and `checkOpeningHandshake()` return a refusal or `undefined`
 * - `startWaiting()` and `stopWaiting()` are called around the time that app code is asked
 * - `middlewareResponse()` makes the response that middlewares get
 * - `isAnswered` returns whether a middleware has answered
 * - `join(session)` hands the request to its session, `open()` opens a session for it
 * - `answerRefusal(reason)` answers it
 */
class Candidate {
  /**
   * @param {import('../engine/engine').Engine} engine
   * @param {import('node:net').Socket} socket the connection
   */
  constructor(engine, req, socket, isUpgrade) {
    readQuery(req)
    this.engine = engine
    this.req = req
    this.isUpgrade = isUpgrade
    const isNamed = namesSession(req)
    const session = isNamed ? engine.clients[req._query.sid] : undefined
    /** The id of the open session that it belongs to. */
    this.sid = session?.id
    this.kind = kindOf(req, isUpgrade)
    /** Whether it may become a session. */
    this.isHandshake = !isNamed && req.method === 'GET'
    this.isPreflight = session === undefined && !isUpgrade && req.method === 'OPTIONS'
    this.remoteAddress =
      session === undefined
        ? engine._clientLimits.clientAddress(socket?.remoteAddress, req)
        : session.remoteAddress
    /** The index of the next check in the ladder. */
    this.nextCheck = 0
    /** Exists while app code is asked. @type {PendingRequest | undefined} */
    this.pending = undefined
    /** What the native check has answered. @type {number | undefined} */
    this.verdict = undefined
    /** The id of the session that it opens. @type {string | undefined} */
    this.id = undefined
  }

  /** @param {import('node:events').EventEmitter} peer emits `close` when the client leaves */
  _wait(peer) {
    this.pending = new PendingRequest(this, peer)
  }
}

module.exports = { Candidate }
