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

module.exports = { closeError }
