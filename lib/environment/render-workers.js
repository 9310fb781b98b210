'use strict'

// Next.js 13.4, up to the canaries of 13.4.20, runs the app's code in render workers: separate
// processes that do not listen on the public port. Next.js routes requests to them, but no upgrades.

const { next: log } = require('../debug')
const { coded, warnOnce } = require('../errors')

const REASON =
  'Next.js 13.4 renders in separate processes; use 13.5 or newer, or a Pages Router app with a ' +
  'custom server'

/** Whether this process is a render worker. */
function isRenderWorker() {
  return process.env.__NEXT_PRIVATE_RENDER_WORKER !== undefined
}

/** Whether a version of Next.js runs the app's code in render workers. */
function hasRenderWorkers({ major, minor, patch, canary }) {
  if (major !== 13 || minor !== 4) return false
  return patch < 20 || (canary !== undefined && canary < 15)
}

/**
 * Whether the listening process of a version may proxy all requests to other processes. Next.js 13.3
 * does so when the app has an `app` directory.
 */
function mayProxy(version) {
  return hasRenderWorkers(version) || (version.major === 13 && version.minor === 3)
}

/** Returns the options for a server in a render worker: clients must not try an upgrade there. */
function limitToPolling(options) {
  log('this process is a render worker of Next.js 13.4: limiting clients to polling')
  warnOnce(
    'workers',
    'UPWIRE_NEXT_WORKERS',
    `clients stay on polling, because WebSockets do not reach this process: ${REASON}`,
  )
  // Next.js removes the trailing slash from the requests that it routes to a render worker.
  return { ...options, allowUpgrades: false, addTrailingSlash: false }
}

function workersError() {
  return coded(Error, 'ERR_UPWIRE_NEXT_WORKERS', `upwire: ${REASON}`)
}

module.exports = { hasRenderWorkers, isRenderWorker, limitToPolling, mayProxy, workersError }
