'use strict'

// Next.js runs route handlers and server components during `next build`, and keeps the result of those
// that ask for nothing of a request. A route that emits must run for each request instead.

const { next: log } = require('../debug')
const { coded } = require('../errors')
const { requireNext } = require('../environment/version')

/** What Next.js throws in order to stop prerendering; it has to reach Next.js. */
const STOPS_PRERENDERING = ['DYNAMIC_SERVER_USAGE', 'NEXT_STATIC_GEN_BAILOUT']

/**
 * Makes the route that `next build` is prerendering dynamic, if there is one.
 * @throws the error that tells Next.js to stop prerendering
 * @throws `ERR_UPWIRE_PRERENDER` with `cacheComponents`, where only a wait can make a route dynamic
 */
function refusePrerendering() {
  const request = waitForRequest()
  if (request === undefined) return
  // Next.js rejects it when the render is over.
  request.catch(() => {})
  throw coded(
    Error,
    'ERR_UPWIRE_PRERENDER',
    'upwire: `next build` prerenders this route, where no Socket.IO server exists: call ' +
      "`await connection()` (from 'next/server') before getIO()",
  )
}

/**
 * Asks Next.js for the request, which makes it stop prerendering a route by an error. Returns a promise where
 * it only waits, and `undefined` where no route is rendered.
 */
function waitForRequest() {
  // Before Next.js 15 there is no `connection`; before 14, neither.
  const interrupt =
    requireNext('next/server')?.connection ?? requireNext('next/cache')?.unstable_noStore
  try {
    return interrupt?.()
  } catch (error) {
    if (stopsPrerendering(error)) throw error
    log('getIO() outside of a route during the build: %s', error.message)
    return undefined
  }
}

function stopsPrerendering({ digest, code }) {
  return STOPS_PRERENDERING.includes(digest) || STOPS_PRERENDERING.includes(code)
}

module.exports = { refusePrerendering }
