'use strict'

// The phase that Next.js is in, as its environment variables show it.

/** Whether this process runs `next build`: Next.js renders pages there, but no server listens. */
function isBuild() {
  return process.env.NEXT_PHASE === 'phase-production-build'
}

/** Whether this is not `next dev`, where modules are evaluated again after an edit. */
function isProduction() {
  return process.env.NODE_ENV === 'production'
}

module.exports = { isBuild, isProduction }
