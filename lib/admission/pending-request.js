'use strict'

const { warnOnce } = require('../errors')
const { runMiddlewares } = require('./middleware')
const { notAllowed } = require('./origin/rule')
const { DONE, ERRORS, idRefusal, refusal, timedOut } = require('./refusal')

/**
 * One request, of a handshake or of a session, that waits for the app's answers: middlewares,
 * `allowedOrigins`, `allowRequest`, `generateId`. The wait is limited in time, and ends early when the
 * client leaves or the engine closes.
 *
 * Each method that asks the app resolves with `undefined` when the request may go on, with a refusal, or
 * with `DONE`.
 */
class PendingRequest {
  #engine
  #candidate
  /** Emits `close` when the client leaves. */
  #peer
  /** The request's place among the sessions. It passes to the session that the request opens. */
  #place
  #timer
  /** The refusal, or `DONE`, that has ended the wait early. */
  #interruption
  #interrupt
  #interrupted = new Promise((resolve) => {
    this.#interrupt = resolve
  })

  /**
   * @param {import('./candidate').Candidate} candidate
   * @param {import('node:events').EventEmitter} peer
   */
  constructor(candidate, peer) {
    const { engine, sid, kind, isHandshake, remoteAddress } = candidate
    this.#engine = engine
    this.#candidate = candidate
    if (isHandshake) this.#place = engine._clientLimits.takePlace(remoteAddress)
    this.sid = sid
    this.kind = kind
    this.#timer = setTimeout(this.#onTimeout, engine.opts.handshakeTimeout)
    this.#peer = peer
    peer.once('close', this.#onClose)
    engine._pending.add(this)
  }

  #onTimeout = () => {
    const { handshakeTimeout: limit } = this.#engine.opts
    const { remoteAddress } = this.#candidate
    const met = { name: 'handshakeTimeout', limit, value: limit, action: 'refused' }
    this.#engine._onLimit(met, { remoteAddress })
    this.refuse(timedOut())
  }

  #onClose = () => this.refuse(DONE)

  /** Ends the wait early. @param {import('./refusal').Refusal | typeof DONE} reason */
  refuse(reason) {
    this.#interruption ??= reason
    this.#interrupt()
  }

  /** Waits for an answer. An interruption takes precedence over an answer that arrives at the same time. */
  async #wait(answer) {
    const settled = await Promise.race([answer, this.#interrupted])
    return this.#interruption ?? settled
  }

  /** Runs the middlewares. Resolves with `DONE` when one of them has ended the response. */
  askMiddlewares(res) {
    const run = runMiddlewares(this.#engine.middlewares, this.#candidate.req, res).then(
      (haveAllCalledNext) => (haveAllCalledNext ? undefined : DONE),
      (error) => refusal(ERRORS.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE', error }),
    )
    // A response that is queued behind others is finished long before it is written.
    const finished = new Promise((resolve) => {
      res.once?.('finish', () => resolve(DONE))
    })
    return this.#wait(Promise.race([run, finished]))
  }

  /** Asks `allowedOrigins`. The Origin rule has the answer afterwards. */
  askOrigin() {
    const { req } = this.#candidate
    const answer = this.#engine._origins.ask(req).catch((error) => {
      this.#warnOfFailure('allowedOrigins', 'UPWIRE_ORIGIN', error)
      return notAllowed(req, { error })
    })
    return this.#wait(answer)
  }

  askAllowRequest() {
    const { opts } = this.#engine
    const answer = new Promise((resolve) => {
      const fail = (error) => {
        this.#warnOfFailure('allowRequest', 'UPWIRE_ALLOW_REQUEST', error)
        resolve(refusal(ERRORS.FORBIDDEN, { name: 'ALLOW_REQUEST_ERROR', error }))
      }
      const decide = (message, success) => {
        // engine.io answers a refused upgrade with 400.
        const refused = () => refusal(ERRORS.FORBIDDEN, { message }, { upgradeStatus: 400 })
        resolve(success ? undefined : refused())
      }
      try {
        Promise.resolve(opts.allowRequest(this.#candidate.req, decide)).catch(fail)
      } catch (error) {
        fail(error)
      }
    })
    return this.#wait(answer)
  }

  /** Asks `generateId`, and sets the candidate's id. */
  askId() {
    const answer = new Promise((resolve) => {
      resolve(this.#engine.generateId(this.#candidate.req))
    }).then((id) => {
      this.#candidate.id = id
    }, idRefusal)
    return this.#wait(answer)
  }

  /** Warns once about an app error that no listener receives. */
  #warnOfFailure(name, code, error) {
    if (this.#engine.listenerCount('connection_error') > 0) return
    warnOnce(name, code, `${name} failed: ${error?.stack ?? error}`)
  }

  /** Hands the place over to the session that the request opens. */
  handOverPlace() {
    const place = this.#place
    this.#place = undefined
    return place
  }

  /** Called once the request is accepted or refused. */
  end() {
    clearTimeout(this.#timer)
    this.#peer.removeListener('close', this.#onClose)
    this.#engine._pending.delete(this)
    if (this.#place !== undefined) this.#engine._clientLimits.releasePlace(this.handOverPlace())
    // From here on the app's answers are ignored.
    this.refuse(DONE)
  }
}

module.exports = { PendingRequest }
