'use strict'

// Next.js 13.4 up to the canaries of 13.4.20 runs an app's code in processes of its own: not in the
// one that listens. Requests reach them through Next.js's routing, upgrades never do.

const { coded, warnOnce } = require('../errors')

const REASON =
  'Next.js 13.4 renders in separate processes; use 13.5 or newer, or a Pages Router app with a ' +
  'custom server'

/** Whether this is such a process. */
function isRenderWorker() {
  return process.env.__NEXT_PRIVATE_RENDER_WORKER !== undefined
}

/** Whether a version of Next.js does so. */
function hasRenderWorkers({ major, minor, patch, canary }) {
  if (major !== 13 || minor !== 4) return false
  return patch < 20 || (canary !== undefined && canary < 15)
}

/** Whether the process that listens may only proxy: that of 13.3 does when there is an `app` directory. */
function mayProxy(version) {
  return hasRenderWorkers(version) || (version.major === 13 && version.minor === 3)
}

/** The options for a server in such a process: clients must not try what cannot work. */
function limitToPolling(options) {
  warnOnce(
    'workers',
    'UPWIRE_NEXT_WORKERS',
    `clients stay on polling, because WebSockets do not reach this process: ${REASON}`,
  )
  // What is routed here has lost the slash at its end.
  return { ...options, allowUpgrades: false, addTrailingSlash: false }
}

function workersError() {
  return coded(Error, 'ERR_UPWIRE_NEXT_WORKERS', `upwire: ${REASON}`)
}

module.exports = { hasRenderWorkers, isRenderWorker, limitToPolling, mayProxy, workersError }
