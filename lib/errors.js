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

/** An option of the app's that cannot be. */
function invalid(name, value, wanted) {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return coded(
    TypeError,
    'ERR_UPWIRE_INVALID_OPTION',
    `upwire: option ${name} must be ${wanted}, got ${shown}`,
  )
}

function warn(code, message) {
  process.emitWarning(message, { type: 'UpwireWarning', code })
}

/** Keys that were warned of; shared, because an app's bundles may have copies of this package. */
const warned = (globalThis[Symbol.for('upwire.warned')] ??= new Set())

/** Prints a warning the first time its key is seen: a wrong setting is told once, not per request. */
function warnOnce(key, code, message) {
  if (warned.has(key)) return
  warned.add(key)
  warn(code, message)
}

/**
 * Lets an error of the app's surface as `uncaughtException`, without harm to what is going on: one
 * that left the tick queue would make Node's http lose requests of other connections.
 */
function surface(error) {
  queueMicrotask(() => {
    throw error
  })
}

/** Calls code of the app's whose errors must not stop what comes after it. */
function guarded(call) {
  try {
    call()
  } catch (error) {
    surface(error)
  }
}

module.exports = { coded, guarded, invalid, surface, warn, warnOnce }
