'use strict'

// What Next.js is doing in this process.

/** Whether pages are rendered for a build, without a server. */
function isBuild() {
  return process.env.NEXT_PHASE === 'phase-production-build'
}

/** Whether this is not `next dev`, where modules are evaluated again after an edit. */
function isProduction() {
  return process.env.NODE_ENV === 'production'
}

module.exports = { isBuild, isProduction }
