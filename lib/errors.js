'use strict'

/**
 * An error with a stable `code`, for a mistake of the app or its setup.
 * @param {ErrorConstructor} Type
 * @param {string} code
 * @param {string} message
 */
function coded(Type, code, message) {
  const error = new Type(message)
  Object.defineProperty(error, 'code', { value: code, enumerable: true, configurable: true })
  return error
}

/** An invalid option value. */
function invalid(name, value, wanted) {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return coded(
    TypeError,
    'ERR_UPWIRE_INVALID_OPTION',
    `upwire: option ${name} must be ${wanted}, got ${shown}`,
  )
}

/** Something of engine.io's that cannot be had, with the reason. */
function unsupported(what, reason) {
  return coded(Error, 'ERR_UPWIRE_UNSUPPORTED', `upwire: ${what} is not supported: ${reason}`)
}

function warn(code, message) {
  process.emitWarning(message, { type: 'UpwireWarning', code })
}

/** Keys of the warnings that were printed; shared, because an app's bundles may contain copies of upwire. */
const warned = (globalThis[Symbol.for('upwire.warned')] ??= new Set())

/** Prints a warning unless one with the same key was printed: once per wrong setting, not per request. */
function warnOnce(key, code, message) {
  if (warned.has(key)) return
  warned.add(key)
  warn(code, message)
}

/**
 * Reports an app error as `uncaughtException` without disturbing the work in progress. It is thrown from a
 * microtask: an error that leaves the tick queue makes Node's http lose requests of other connections.
 */
function surface(error) {
  queueMicrotask(() => {
    throw error
  })
}

/** Calls app code. If it throws, the error surfaces, and the work after the call goes on. */
function guarded(call) {
  try {
    call()
  } catch (error) {
    surface(error)
  }
}

module.exports = { coded, guarded, invalid, surface, unsupported, warn, warnOnce }
