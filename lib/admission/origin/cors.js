'use strict'

const cors = require('cors')

/** What the package takes for `origin` where nothing is said. */
const ANY = '*'

/** Whether what `cors` allows is only known once its functions have been asked. */
function isAsked(options) {
  return typeof options === 'function' || typeof options.origin === 'function'
}

/** The origins that options without functions allow, as the package reads them. */
function originsOf(options) {
  if (options === false || options === undefined) return []
  return options === true || !Object.hasOwn(options, 'origin') ? ANY : literally(options.origin)
}

/** In a list, `'*'` is an origin as any other. */
function literally(origin) {
  if (!Array.isArray(origin)) return origin
  return origin.flat(Number.POSITIVE_INFINITY).filter((entry) => entry !== ANY)
}

/**
 * The package's middleware.
 * @param {(req: object, origins: unknown, error?: unknown) => void} [hear] gets what the functions of
 *   `options` answer, so that they are asked once for headers and admission
 */
function corsMiddleware(options, hear) {
  if (hear === undefined) return cors(options === true ? undefined : options)
  return cors((req, done) => {
    const settle = (origin, settled, error) => {
      hear(req, origin, error)
      done(null, { ...settled, origin })
    }
    const ask = (error, settled) => {
      if (error) return done(error)
      const origin = originsOf(settled ?? {})
      if (typeof origin !== 'function') return settle(origin, settled)
      // Many say by an error that an origin is not on their list.
      origin(req.headers.origin, (failure, answer) => {
        settle(failure ? false : literally(answer), settled, failure || undefined)
      })
    }
    if (typeof options === 'function') options(req, ask)
    else ask(null, options)
  })
}

module.exports = { corsMiddleware, isAsked, originsOf }
