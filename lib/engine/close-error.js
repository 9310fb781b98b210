'use strict'

/**
 * The `description` of a `close` event: an error with engine.io's `type` and `description`, and
 * what upwire knows beyond that.
 * @param {string} reason
 * @param {string | undefined} json
 */
function closeError(reason, json) {
  if (json === undefined) return undefined
  const { message, ...detail } = JSON.parse(json)
  const error = withoutStack(message)
  if (reason === 'transport error') {
    error.type = 'TransportError'
    error.description = withoutStack(message)
  }
  for (const [name, value] of Object.entries(detail)) {
    if (value !== null) error[name] = value
  }
  return error
}

/** What a peer did has no place in the app's code, and looking for one takes longer than the rest. */
function withoutStack(message) {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = new Error(message)
  Error.stackTraceLimit = stackTraceLimit
  return error
}

/** The `description` of a session that ends with its engine. */
function shutdownError(transport) {
  const error = withoutStack('the server shuts down')
  error.code = 'ERR_UPWIRE_SHUTDOWN'
  if (transport === 'websocket') error.wsCode = 1001
  return error
}

module.exports = { closeError, shutdownError }
