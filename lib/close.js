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
  const error = new Error(message)
  if (reason === 'transport error') {
    error.type = 'TransportError'
    error.description = new Error(message)
  }
  for (const [name, value] of Object.entries(detail)) {
    if (value !== null) error[name] = value
  }
  return error
}

module.exports = { closeError }
