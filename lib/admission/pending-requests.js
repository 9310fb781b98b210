'use strict'

const { ERRORS, refusal } = require('./refusal')

/**
 * How many requests of one kind may wait for each session: one, and one that overlaps it. When the app
 * lets both pass, the overlap closes the session.
 */
const MAX_PER_KIND = 2

/** All requests of an engine that wait for the app's answers. */
class PendingRequests {
  /** Requests that belong to no open session. */
  #handshakes = new Set()
  /** Requests of sessions, by session id. @type {Map<string, Set<import('./pending-request').PendingRequest>>} */
  #ofSessions = new Map()

  /** Number of waiting requests that belong to no session. */
  get handshakes() {
    return this.#handshakes.size
  }

  /** Whether a session has as many waiting requests of a kind as it may have. */
  isFull(sid, kind) {
    const all = [...(this.#ofSessions.get(sid) ?? [])]
    return all.filter((each) => each.kind === kind).length >= MAX_PER_KIND
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

  /** Refuses the requests of a session that has closed. */
  endSession(sid) {
    for (const request of this.#ofSessions.get(sid) ?? []) {
      request.refuse(refusal(ERRORS.UNKNOWN_SID, { sid }))
    }
  }

  refuseHandshakes(reason) {
    for (const request of [...this.#handshakes]) request.refuse(reason)
  }

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
