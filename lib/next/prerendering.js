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
  const waitForRequest = requireNext('next/server')?.connection
  if (waitForRequest === undefined) return refuseStore()
  let request
  try {
    request = waitForRequest()
  } catch (error) {
    if (stopsPrerendering(error)) throw error
    // No route is being rendered: a module is loaded, or a page of the Pages Router is rendered.
    return log('getIO outside of a route during the build: %s', error.message)
  }
  // Next.js rejects it when the render is over.
  request.catch(() => {})
  throw coded(
    Error,
    'ERR_UPWIRE_PRERENDER',
    'upwire: `next build` prerenders this route, where no Socket.IO server exists: call ' +
      "`await connection()` (from 'next/server') before getIO()",
  )
}

/** Before Next.js 15 there is no `connection`. */
function refuseStore() {
  const noStore = requireNext('next/cache')?.unstable_noStore
  try {
    noStore?.()
  } catch (error) {
    if (stopsPrerendering(error)) throw error
    log('getIO during the build: %s', error.message)
  }
}

function stopsPrerendering({ digest, code }) {
  return STOPS_PRERENDERING.includes(digest) || STOPS_PRERENDERING.includes(code)
}

module.exports = { refusePrerendering }
