'use strict'

// Socket.IO in an app without a custom server: made when Next.js runs the app's instrumentation, put
// on the server of Next.js as soon as that shows itself.

const { coded, invalid, warnOnce } = require('../errors')
const { checkPath } = require('../http-server/path')
const { attachments, lookUp, registry } = require('../socketio/registry')
const { earlyPath } = require('./early-claim')
const { closeLostUpgrades } = require('./lost-upgrades')
const { isBuild, isProduction } = require('../environment/phase')
const { isNextServer, knock, searchServer } = require('./server-search')
const { nextVersion } = require('../environment/version')
const { hasRenderWorkers, isRenderWorker, workersError } = require('../environment/render-workers')

/** Milliseconds after which somebody is told that a server was seen, but not the wanted one. */
const PATIENCE = 5000

/**
 * Runs Socket.IO on the server that Next.js runs.
 * @param {object} [options] those of attach(), and `match`
 * @param {(io: import('socket.io').Server) => unknown} [setup]
 */
function registerUpwire(options = {}, setup = undefined) {
  if (isBuild()) return
  const match = options?.match
  const reason = whyNot(match)
  if (reason !== undefined) {
    registry.early?.giveUp()
    return warnOnce(reason.code, reason.code, reason.message)
  }
  // First of all, before anything is loaded: a connection that is accepted from here on is seen.
  let attachment
  const bind = (server) => {
    if (attachment.server === undefined) attachment.bind(server)
  }
  const warn = warnOfOthers(() => attachment.server !== undefined)
  const stop = searchServer(match ?? isNextServer, bind, warn)
  try {
    attachment = makeAttachment(options, setup)
  } catch (error) {
    stop()
    throw error
  }
  const early = registry.early
  early?.stop()
  if (early?.server !== undefined && (match === undefined || match(early.server)))
    bind(early.server)
  if (attachment.server !== undefined) stop()
  else knock()
  closeLostUpgrades(match ?? isNextServer)
}

function makeAttachment(options, setup) {
  const { register } = require('../socketio/attach')
  // In production a second bundle of the same module registers the same handlers; under `next dev`
  // whoever registers again has been edited.
  const isSame = isProduction() ? () => true : (left, right) => left === right
  if (options === null || typeof options !== 'object') return register(options, setup, isSame)
  const { match, ...opts } = options
  if (match !== undefined && typeof match !== 'function') {
    throw invalid('match', match, 'a function')
  }
  return register({ ...opts, path: opts.path || earlyPath() }, setup, isSame)
}

/**
 * The socket.io server of this process.
 * @param {string} [path] which one, when there are several
 * @throws {Error} that says why there is none
 */
function getIO(path = undefined) {
  if (path !== undefined) checkPath('path of getIO()', path)
  // Nothing is registered in builds, but pages are rendered there.
  if (isBuild()) return undefined
  const attachment = path === undefined ? theAttachment() : lookUp(path)
  if (attachment === undefined) throw whyNot() ?? notRegistered(path)
  return attachment.io
}

/** The one that is meant when no path is given. */
function theAttachment() {
  const standard = lookUp(earlyPath())
  if (standard !== undefined) return standard
  const all = attachments()
  if (all.length <= 1) return all[0]
  const paths = all.map(({ prefix }) => prefix).join(', ')
  throw coded(
    Error,
    'ERR_UPWIRE_NOT_REGISTERED',
    `upwire: getIO() needs the path of the server that is meant: there are ${paths}`,
  )
}

/** Why there can be no Socket.IO server in this process, if so. */
function whyNot(match = undefined) {
  if (isRenderWorker() || isBesideWorkers()) return workersError()
  const name = isProduction() && match === undefined ? SERVERLESS.find(isSet) : undefined
  if (name === undefined) return undefined
  return coded(
    Error,
    'ERR_UPWIRE_SERVERLESS',
    `upwire: there is no long-lived server here (${name} is set), and so no WebSocket: run ` +
      `\`next start\`, a standalone container or a custom server, without ${name} in its environment`,
  )
}

/** Whether this process listens or routes, for others that run the app's code. */
function isBesideWorkers() {
  const version = nextVersion()
  return attachments().length === 0 && version !== undefined && hasRenderWorkers(version)
}

/** Set where functions run, and no server. */
const SERVERLESS = ['VERCEL', 'AWS_LAMBDA_FUNCTION_NAME', 'NETLIFY', 'NEXT_PRIVATE_MINIMAL_MODE']

function isSet(name) {
  return Boolean(process.env[name])
}

function notRegistered(path) {
  const what = path === undefined ? 'Socket.IO does not run' : `Socket.IO does not run on ${path}`
  return coded(
    Error,
    'ERR_UPWIRE_NOT_REGISTERED',
    `upwire: ${what} in this process. Add an instrumentation.ts that imports a module which calls ` +
      'registerUpwire(), or call attach() in a custom server; Next.js 13 and 14 need ' +
      'experimental.instrumentationHook, too, which withUpwire(nextConfig) sets',
  )
}

/** What tells, once, that a server was seen that is not the wanted one. */
function warnOfOthers(isFound) {
  let isPlanned = false
  return () => {
    if (isPlanned) return
    isPlanned = true
    setTimeout(() => {
      if (isFound()) return
      warnOnce(
        'search',
        'UPWIRE_NO_SERVER',
        'registerUpwire() has not found the server of Next.js among those that take connections: ' +
          `none has PORT (${process.env.PORT}); pass match: (server) => boolean`,
      )
    }, PATIENCE).unref()
  }
}

/**
 * Never called: names the package's other entries, so that file tracing puts them into a standalone
 * folder. A custom server there needs the first, and `--require upwire/preload` the second.
 */
function traced() {
  require('../../index')
  require.resolve('../../preload')
}

module.exports = { getIO, registerUpwire, traced }
