'use strict'

/** engine.io's error codes. */
const ERRORS = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
}

/** The texts that go with them. */
const MESSAGES = {
  0: 'Transport unknown',
  1: 'Session ID unknown',
  2: 'Bad handshake method',
  3: 'Bad request',
  4: 'Forbidden',
  5: 'Unsupported protocol version',
}

/**
 * A refused request.
 * @typedef {{ code: number, status: number, upgradeStatus?: number, message: string,
 *   context?: object, headers?: Record<string, string | number> }} Refusal
 */

/** @returns {Refusal} */
function refusal(code, context, extra = {}) {
  const status = code === ERRORS.FORBIDDEN ? 403 : 400
  const message = String(context?.message || MESSAGES[code])
  return { code, status, message, context, ...extra }
}

/** 503 with a moment to come back at, spread so that not all come at once. */
function busy(name, message) {
  const headers = { 'Retry-After': 1 + Math.floor(Math.random() * 5) }
  return refusal(ERRORS.FORBIDDEN, { name, message }, { status: 503, headers })
}

/** For a handshake that would be one more than may wait. */
function tooMany() {
  return busy('TOO_MANY_HANDSHAKES', 'Too many connections')
}

/** For a handshake that would be one session more than there may be. */
function tooManySessions() {
  return busy('TOO_MANY_SESSIONS', 'Too many connections')
}

/** For an address that begins handshakes too fast. */
function tooFast() {
  return busy('HANDSHAKE_RATE', 'Too many connections')
}

module.exports = { ERRORS, MESSAGES, busy, refusal, tooFast, tooMany, tooManySessions }
