'use strict'

// What may take time before a request becomes a session: middlewares, `allowedOrigins`,
// `allowRequest`, `generateId`. Bounded in number and time, and watched for the client's leaving.

const { warnOnce } = require('../errors')
const { runMiddlewares } = require('./middleware')
const { ASK, notAllowed } = require('./origin/rule')
const { ERRORS, busy, refusal } = require('./refusal')

/** The client has left, or the request was answered by somebody else: nothing is to be said. */
const GONE = Symbol('gone')

class Handshake {
  #engine
  /** Its place among the sessions, until a session has it. */
  #place
  #settle
  #timer
  /** Resolves with a refusal or GONE when the wait has to end early. */
  #interrupted = new Promise((resolve) => {
    this.#settle = resolve
  })

  /**
   * @param {import('node:events').EventEmitter} peer tells with `close` that the client left
   * @param {import('../engine/engine').Asked} what
   */
  constructor(engine, peer, { sid, kind, isHandshake, remoteAddress }) {
    this.#engine = engine
    if (isHandshake) this.#place = engine._admission.take(remoteAddress)
    this.sid = sid
    this.kind = kind
    const { handshakeTimeout } = engine.opts
    this.#timer = setTimeout(() => {
      const met = { limit: handshakeTimeout, value: handshakeTimeout, action: 'refused' }
      engine._onLimit({ name: 'handshakeTimeout', ...met }, { remoteAddress })
      this.#settle(busy('HANDSHAKE_TIMEOUT', 'Handshake timed out'))
    }, handshakeTimeout)
    this.peer = peer
    this.onGone = () => this.#settle(GONE)
    peer.once('close', this.onGone)
    engine._pending.add(this)
  }

  /** Waits for a step: its value, or what interrupted it. */
  #wait(step) {
    return Promise.race([step, this.#interrupted])
  }

  /** Runs the middlewares. Resolves with `undefined`, a refusal, or GONE. */
  middlewares(req, res) {
    const run = runMiddlewares(this.#engine.middlewares, req, res).then(
      (isThrough) => (isThrough ? undefined : GONE),
      (error) => refusal(ERRORS.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE', error }),
    )
    // A response behind others has ended long before it is written.
    const ended = new Promise((resolve) => {
      res.once?.('finish', () => resolve(GONE))
    })
    return this.#wait(Promise.race([run, ended]))
  }

  /**
   * Asks the app about an Origin that its function has to decide on; the engine's check of the
   * request has the answer then. Resolves with `undefined`, a refusal, or GONE.
   */
  async origin(req, isUpgrade) {
    const engine = this.#engine
    if (!engine._origins.mayAsk(req) || engine._verify(req, isUpgrade) !== ASK) return undefined
    const answer = engine._origins.ask(req).catch((error) => {
      this.#warn('allowedOrigins', 'UPWIRE_ORIGIN', error)
      return notAllowed(req, { error })
    })
    return this.#wait(answer)
  }

  /** Tells of an error of the app's that nobody listens for, once. */
  #warn(name, code, error) {
    if (this.#engine.listenerCount('connection_error') > 0) return
    warnOnce(name, code, `${name} failed: ${error?.stack ?? error}`)
  }

  /** Asks the app. Resolves with `undefined`, a refusal, or GONE. */
  allow(req) {
    const { allowRequest } = this.#engine.opts
    const answer = new Promise((resolve) => {
      const fail = (error) => {
        const context = { name: 'ALLOW_REQUEST_ERROR', error }
        this.#warn('allowRequest', 'UPWIRE_ALLOW_REQUEST', error)
        resolve(refusal(ERRORS.FORBIDDEN, context))
      }
      const decide = (message, success) => {
        // engine.io answers a refused upgrade with 400.
        const refused = () => refusal(ERRORS.FORBIDDEN, { message }, { upgradeStatus: 400 })
        resolve(success ? undefined : refused())
      }
      try {
        Promise.resolve(allowRequest.call(this.#engine.opts, req, decide)).catch(fail)
      } catch (error) {
        fail(error)
      }
    })
    return this.#wait(answer)
  }

  /** Makes the session's id. Resolves with `{ id }`, `{ refusal }`, or GONE. */
  id(req) {
    const made = new Promise((resolve) => {
      resolve(this.#engine.generateId(req))
    }).then(
      (id) => ({ id }),
      (error) => ({ refusal: idRefusal(error) }),
    )
    const interrupted = this.#interrupted.then((end) => (end === GONE ? GONE : { refusal: end }))
    return Promise.race([made, interrupted])
  }

  /** Gives its place to the session that it becomes. */
  handOver() {
    const place = this.#place
    this.#place = undefined
    return place
  }

  /** Ends the wait with a refusal. */
  refuse(reason) {
    this.#settle(reason)
  }

  /** The wait is over. */
  end() {
    clearTimeout(this.#timer)
    this.peer.removeListener('close', this.onGone)
    this.#engine._pending.delete(this)
    if (this.#place !== undefined) this.#engine._admission.release(this.handOver())
    this.#settle(GONE)
  }
}

function idRefusal(error) {
  return refusal(ERRORS.BAD_REQUEST, { name: 'ID_GENERATION_ERROR', error })
}

module.exports = { GONE, Handshake, idRefusal }
