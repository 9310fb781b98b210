'use strict'

const { ERRORS, refusal } = require('./refusal')

/**
 * How many requests of one kind a session may have waiting: one, and one that overlaps it, which ends
 * the session once the app has let both pass.
 */
const MAX_OF_A_KIND = 2

/** The requests that wait for middlewares and other questions to the app. */
class PendingRequests {
  /** Requests that may become sessions. */
  #handshakes = new Set()
  /** Requests of sessions, by session id. @type {Map<string, Set<import('./pending-request').Handshake>>} */
  #ofSessions = new Map()

  /** How many handshakes wait. */
  get handshakes() {
    return this.#handshakes.size
  }

  /** Whether a session has as many requests of a kind waiting as it may. */
  isFull(sid, kind) {
    const all = [...(this.#ofSessions.get(sid) ?? [])]
    return all.filter((each) => each.kind === kind).length >= MAX_OF_A_KIND
  }

  add(request) {
    const { sid } = request
    if (sid === undefined) return this.#handshakes.add(request)
    if (!this.#ofSessions.has(sid)) this.#ofSessions.set(sid, new Set())
    this.#ofSessions.get(sid).add(request)
  }

  delete(request) {
    const { sid } = request
    if (sid === undefined) return this.#handshakes.delete(request)
    const all = this.#ofSessions.get(sid)
    all?.delete(request)
    if (all?.size === 0) this.#ofSessions.delete(sid)
  }

  /** A session is over: its requests wait no longer. */
  endSession(sid) {
    for (const request of this.#ofSessions.get(sid) ?? []) {
      request.refuse(refusal(ERRORS.UNKNOWN_SID, { sid }))
    }
  }

  /** Ends the wait of all handshakes. */
  refuseHandshakes(reason) {
    for (const request of [...this.#handshakes]) request.refuse(reason)
  }

  /** Ends the wait of all. */
  refuseAll(reason) {
    const ofSessions = [...this.#ofSessions.values()].flatMap((all) => [...all])
    for (const request of [...this.#handshakes, ...ofSessions]) request.refuse(reason)
  }
}

/** The kind of a request of a session. */
function kindOf({ method }, isUpgrade) {
  if (isUpgrade) return 'upgrade'
  return method === 'GET' || method === 'POST' ? method : 'other'
}

module.exports = { PendingRequests, kindOf }
