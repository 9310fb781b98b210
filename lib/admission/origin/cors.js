'use strict'

const cors = require('cors')

/** The package's default for `origin`. */
const ANY = '*'

/** Whether `cors` has a function that decides whether to allow each request. */
function hasFunction(options) {
  return typeof options === 'function' || typeof options.origin === 'function'
}

/** The origins that options allow, as the package reads them. */
function originsOf(options) {
  if (options === false || options === undefined) return []
  return options === true || !Object.hasOwn(options, 'origin') ? ANY : withoutAny(options.origin)
}

/** In a list the package compares `'*'` like any other entry, so it matches no origin. */
function withoutAny(origin) {
  if (!Array.isArray(origin)) return origin
  return origin.flat(Number.POSITIVE_INFINITY).filter((entry) => entry !== ANY)
}

/**
 * The package's middleware.
 * @param {(req: object, origins: unknown, error?: unknown) => void} [onAnswer] receives the answers of the
 *   functions in `options`, so that each is called once for headers and admission together
 */
function corsMiddleware(options, onAnswer) {
  if (onAnswer === undefined) return cors(options === true ? undefined : options)
  return cors((req, done) => {
    const settle = (origin, settled, error) => {
      onAnswer(req, origin, error)
      done(null, { ...settled, origin })
    }
    const ask = (error, settled) => {
      if (error) return done(error)
      const origin = originsOf(settled ?? {})
      if (typeof origin !== 'function') return settle(origin, settled)
      // Many apps report an origin that is not on their list as an error.
      origin(req.headers.origin, (failure, answer) => {
        settle(failure ? false : withoutAny(answer), settled, failure || undefined)
      })
    }
    if (typeof options === 'function') options(req, ask)
    else ask(null, options)
  })
}

module.exports = { corsMiddleware, hasFunction, originsOf }
