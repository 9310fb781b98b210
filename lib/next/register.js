'use strict'

// Socket.IO in an app without a custom server. Next.js runs the app's instrumentation, which calls
// registerUpwire(); the socket.io server is made then, and bound to the HTTP server as soon as a
// connection or request shows which one it is.

const { next: log } = require('../debug')
const { coded, invalid, warnOnce } = require('../errors')
const { checkPath } = require('../http-server/path')
const { allAttachments, findAttachment, registry } = require('../socketio/registry')
const { earlyPath } = require('./early-claim')
const { closeLostUpgrades } = require('./lost-upgrades')
const { refusePrerendering } = require('./prerendering')
const { isBuild, isProduction } = require('../environment/phase')
const { connectToOwnPort, isNextServer, searchServer } = require('./server-search')
const { nextVersion } = require('../environment/version')
const { hasRenderWorkers, isRenderWorker, workersError } = require('../environment/render-workers')

/** Milliseconds after the first server that does not match. If none has matched by then, a warning follows. */
const SEARCH_PATIENCE = 5000

/**
 * Runs Socket.IO on the server that Next.js runs.
 * @param {object} [options] those of attach(), and `match`
 * @param {import('../../index').Setup} [setup] adds the app's handlers
 */
function registerUpwire(options = {}, setup = undefined) {
  if (isBuild()) {
    log('registerUpwire does nothing in `next build`')
    return
  }
  const match = options?.match
  const reason = unavailability(match)
  if (reason !== undefined) {
    log('registerUpwire cannot work here: %s', reason.code)
    registry.early?.giveUp()
    return warnOnce(reason.code, reason.code, reason.message)
  }
  // The search starts before anything else is loaded: it sees every connection accepted from here on.
  let attachment
  const bind = (server) => {
    if (attachment.server === undefined) attachment.bind(server)
  }
  const warn = warnIfNotFound(() => attachment.server !== undefined)
  const stop = searchServer(match ?? isNextServer, bind, warn)
  try {
    attachment = makeAttachment(options, setup)
  } catch (error) {
    stop()
    throw error
  }
  const { early } = registry
  early?.stopSearch()
  if (early?.server !== undefined && (match === undefined || match(early.server))) {
    log('taking the server that the early claim has found')
    bind(early.server)
  }
  if (attachment.server !== undefined) stop()
  else connectToOwnPort()
  log('registerUpwire: Socket.IO on %s is %s', attachment.prefix, attachment.state)
  closeLostUpgrades(match ?? isNextServer)
}

function makeAttachment(options, setup) {
  const { attachLater } = require('../socketio/attach')
  // In production, a second bundle of the same module registers the same handlers again. Under
  // `next dev`, a second call with another function comes from an edited module.
  const isSame = isProduction() ? () => true : (left, right) => left === right
  if (options === null || typeof options !== 'object') return attachLater(options, setup, isSame)
  const { match, ...opts } = options
  if (match !== undefined && typeof match !== 'function') {
    throw invalid('match', match, 'a function')
  }
  return attachLater({ ...opts, path: opts.path || earlyPath() }, setup, isSame)
}

/**
 * The socket.io server of this process; `undefined` in `next build`.
 * @param {string} [path] the path of the server to return, if there are several
 * @throws {Error} when there is none, with the reason
 */
function getIO(path = undefined) {
  if (path !== undefined) checkPath('path of getIO()', path)
  // Next.js renders routes during a build, but does not run instrumentation.
  if (isBuild()) return refusePrerendering()
  const attachment = path === undefined ? defaultAttachment() : findAttachment(path)
  if (attachment === undefined) throw unavailability() ?? notRegistered(path)
  return attachment.io
}

/** The attachment on the default path, or else the only one. */
function defaultAttachment() {
  const standard = findAttachment(earlyPath())
  if (standard !== undefined) return standard
  const all = allAttachments()
  if (all.length <= 1) return all[0]
  const paths = all.map(({ prefix }) => prefix).join(', ')
  throw coded(
    Error,
    'ERR_UPWIRE_NOT_REGISTERED',
    `upwire: Socket.IO runs on several paths (${paths}), so getIO() needs the path of the one that ` +
      'is meant',
  )
}

/** The error for a process in which no Socket.IO server is possible, if this is one. */
function unavailability(match = undefined) {
  if (isRenderWorker() || routesToWorkers()) return workersError()
  const name = isProduction() && match === undefined ? SERVERLESS.find(isSet) : undefined
  if (name === undefined) return undefined
  return coded(
    Error,
    'ERR_UPWIRE_SERVERLESS',
    `upwire: this platform has no long-lived server (${name} is set), and therefore no WebSocket: run ` +
      `\`next start\`, a standalone container or a custom server, without ${name} in its environment`,
  )
}

/** Whether this process listens or routes, while the app's code runs in render workers. */
function routesToWorkers() {
  const version = nextVersion()
  return allAttachments().length === 0 && version !== undefined && hasRenderWorkers(version)
}

/** Environment variables of platforms that run functions instead of a server. */
const SERVERLESS = ['VERCEL', 'AWS_LAMBDA_FUNCTION_NAME', 'NETLIFY', 'NEXT_PRIVATE_MINIMAL_MODE']

function isSet(name) {
  return Boolean(process.env[name])
}

function notRegistered(path) {
  const problem =
    path === undefined ? 'Socket.IO does not run' : `Socket.IO does not run on ${path}`
  return coded(
    Error,
    'ERR_UPWIRE_NOT_REGISTERED',
    `upwire: ${problem} in this process. Add an instrumentation.ts that imports a module which calls ` +
      'registerUpwire(), or call attach() in a custom server; Next.js 13 and 14 also need ' +
      'experimental.instrumentationHook, which withUpwire(nextConfig) sets',
  )
}

/** Returns the callback for servers that do not match: it warns once if the search finds none in time. */
function warnIfNotFound(isFound) {
  let isScheduled = false
  return () => {
    if (isScheduled) return
    isScheduled = true
    setTimeout(() => {
      if (isFound()) return
      warnOnce(
        'search',
        'UPWIRE_NO_SERVER',
        'registerUpwire() has not found the server of Next.js among those that receive connections: ' +
          `none listens on PORT (${process.env.PORT}); pass match: (server) => boolean`,
      )
    }, SEARCH_PATIENCE).unref()
  }
}

/**
 * Never called. It names the other entries of the package, so that file tracing copies them into a
 * standalone folder: a custom server needs the first there, and `--require upwire/preload` the second.
 */
function entriesForFileTracing() {
  require('../../index')
  require.resolve('../../preload')
}

module.exports = { entriesForFileTracing, getIO, registerUpwire }
