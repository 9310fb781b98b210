'use strict'

const { ERRORS, ERROR_MESSAGES: MESSAGES } = require('../bridge/contract')

/**
 * Why a request is refused, and how it is answered.
 * @typedef {{ code: number, status: number, upgradeStatus?: number, message: string,
 *   context?: object, hint?: string, headers?: Record<string, string | number> }} Refusal
 */

/** Returned instead of a refusal: the request is answered already, or its client has left. */
const DONE = Symbol('done')

/** @returns {Refusal} */
function refusal(code, context, extra = {}) {
  const status = code === ERRORS.FORBIDDEN ? 403 : 400
  const message = String(context?.message || MESSAGES[code])
  return { code, status, message, context, ...extra }
}

/** 503 with a `Retry-After` of random length, so that clients do not all return at once. */
function busy(name, message) {
  const headers = { 'Retry-After': 1 + Math.floor(Math.random() * 5) }
  return refusal(ERRORS.FORBIDDEN, { name, message }, { status: 503, headers })
}

/** `maxPendingHandshakes` is met. */
function tooMany() {
  return busy('TOO_MANY_HANDSHAKES', 'Too many connections')
}

/** `maxSessions` or `maxSessionsPerAddress` is met. */
function tooManySessions() {
  return busy('TOO_MANY_SESSIONS', 'Too many connections')
}

/** `maxHandshakeRate` is met. */
function tooFast() {
  return busy('HANDSHAKE_RATE', 'Too many connections')
}

/** `maxTotalReceiveQueue` is exceeded. */
function overloaded() {
  return busy('OVERLOADED', 'Too many connections')
}

/** The app has not answered within `handshakeTimeout`. */
function timedOut() {
  return busy('HANDSHAKE_TIMEOUT', 'Handshake timed out')
}

/** The engine takes no new sessions. */
function shuttingDown() {
  return busy('DRAINING', 'Server is shutting down')
}

/** `generateId` has failed, or its id cannot be used. */
function idRefusal(error) {
  return refusal(ERRORS.BAD_REQUEST, { name: 'ID_GENERATION_ERROR', error })
}

module.exports = {
  DONE,
  ERRORS,
  MESSAGES,
  busy,
  idRefusal,
  overloaded,
  refusal,
  shuttingDown,
  timedOut,
  tooFast,
  tooMany,
  tooManySessions,
}
