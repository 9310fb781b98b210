'use strict'

const { CLOSE_REASONS, CODES } = require('../bridge/contract')

/**
 * The `description` of a `close` event: an error with engine.io's `type` and `description`, and with
 * upwire's details.
 * @param {string} reason
 * @param {string | undefined} json the details from the native side
 */
function closeError(reason, json) {
  if (json === undefined) return undefined
  const { message, ...details } = JSON.parse(json)
  const error = withoutStack(message)
  if (reason === CLOSE_REASONS.TRANSPORT_ERROR) {
    error.type = 'TransportError'
    error.description = withoutStack(message)
  }
  for (const [name, value] of Object.entries(details)) {
    if (value !== null) error[name] = value
  }
  return error
}

/** A peer caused the error, so no stack of this process explains it, and collecting one is slow. */
function withoutStack(message) {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = new Error(message)
  Error.stackTraceLimit = stackTraceLimit
  return error
}

/** The `description` of a session that is closed because its engine closes. */
function shutdownError(transport) {
  const error = withoutStack('the server shuts down')
  error.code = CODES.SHUTDOWN
  if (transport === 'websocket') error.wsCode = 1001
  return error
}

module.exports = { closeError, shutdownError }
