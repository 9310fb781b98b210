'use strict'

/**
 * An error of the app's making, with a stable `code`.
 * @param {ErrorConstructor} Type
 * @param {string} code
 * @param {string} message
 */
function coded(Type, code, message) {
  const error = new Type(message)
  Object.defineProperty(error, 'code', { value: code, enumerable: true, configurable: true })
  return error
}

const warned = new Set()

/** Prints a warning the first time its key is seen: a wrong setting is told once, not per request. */
function warnOnce(key, code, message) {
  if (warned.has(key)) return
  warned.add(key)
  process.emitWarning(message, { type: 'UpwireWarning', code })
}

module.exports = { coded, warnOnce }
