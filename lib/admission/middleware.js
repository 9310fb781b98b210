'use strict'

/**
 * Runs Express-style middlewares one after the other.
 * @returns {Promise<boolean>} whether all of them have called `next`. Resolves with `false` when one had
 *   ended the response by the time it returned, never settles when one ends it later, and rejects with a
 *   middleware's error
 */
async function runMiddlewares(middlewares, req, res) {
  // A copy: under `next dev` middlewares are replaced while a request waits in one of them.
  for (const middleware of [...middlewares]) {
    const isNext = await new Promise((resolve, reject) => {
      const next = (error) => (error ? reject(error) : resolve(true))
      const returned = Promise.resolve(middleware(req, res, next))
      returned.then(() => res.writableEnded && resolve(false), reject)
    })
    if (!isNext) return false
  }
  return true
}

module.exports = { runMiddlewares }
