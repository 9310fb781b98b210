'use strict'

// Extends an app's next.config with the settings that a native addon needs on the server.

const { next: log } = require('../debug')
const { coded, warnOnce } = require('../errors')
const { checkPath } = require('../http-server/path')
const { claimEarlyOnOwnPort } = require('./early-claim')
const { isBuild } = require('../environment/phase')
const { isAtLeast, nextVersion } = require('../environment/version')

/** Packages that must not be bundled: the first contains the addon, the others load beside it. */
const PACKAGES = ['upwire', 'socket.io', 'engine.io']

/** The phases in which the process that evaluates the config also listens. */
const SERVER_PHASES = ['phase-production-server', 'phase-development-server']

/**
 * Adds the settings that upwire needs to a config of Next.js.
 * @param {object | Promise<object> | Function} [nextConfig] a config, a promise of one, or a function that
 *   returns either
 * @param {{ path?: string }} [options] `path`: the path that registerUpwire() is called with
 * @returns {object | Promise<object> | Function} of the same form
 */
function withUpwire(nextConfig = {}, options = {}) {
  const path = options?.path ?? undefined
  if (path !== undefined) checkPath('path of withUpwire()', path)
  if (typeof nextConfig === 'function') return configFunction(nextConfig, path)
  // Nothing names the phase here. Outside a build, an early claim waits for a server of this process.
  if (!isBuild()) startEarlyClaim(path)
  return extendLater(nextConfig)
}

function configFunction(nextConfig, path) {
  const upwireConfig = (phase, context) => {
    log('withUpwire in %s', phase)
    if (SERVER_PHASES.includes(phase)) startEarlyClaim(path)
    return extendLater(nextConfig(phase, context))
  }
  // Wrappers that accept only objects would copy the function's properties, find none, and lose the
  // config in silence.
  return Object.defineProperty(upwireConfig, 'serverExternalPackages', {
    enumerable: true,
    get: refuseCopy,
  })
}

function refuseCopy() {
  throw coded(
    Error,
    'ERR_UPWIRE_INVALID_CONFIG',
    'upwire: withUpwire() was given a function and returns one, but the wrapper around it accepts only ' +
      'objects: put withUpwire() around all other wrappers, or pass it an object',
  )
}

function startEarlyClaim(path) {
  log('withUpwire claims the path early, once this process listens')
  claimEarlyOnOwnPort(path)
}

function extendLater(given) {
  return typeof given?.then === 'function' ? given.then(extend) : extend(given)
}

function extend(given) {
  const config = given ?? {}
  refuseTranspiling(config)
  if (config.output === 'export') {
    warnOnce(
      'export',
      'ERR_UPWIRE_SERVERLESS',
      "output: 'export' writes static files, and without a server there is no WebSocket: run " +
        '`next start`, a standalone container or a custom server',
    )
  }
  const version = nextVersion()
  if (version === undefined || isAtLeast(version, [15])) {
    return { ...config, serverExternalPackages: addPackages(config.serverExternalPackages) }
  }
  // Before 13.2 there is no instrumentation, and server code from node_modules is not bundled.
  if (!isAtLeast(version, [13, 2])) return { ...config }
  const { experimental = {} } = config
  return {
    ...config,
    experimental: {
      ...experimental,
      ...(!isAtLeast(version, [13, 4]) && tracedChunks(config)),
      instrumentationHook: true,
      serverComponentsExternalPackages: addPackages(experimental.serverComponentsExternalPackages),
    },
  }
}

/**
 * Before 13.4, Next.js copies instrumentation into a standalone folder, but not the chunks that it
 * loads. Every app has the page `_app`, and the files listed for a page are copied.
 */
function tracedChunks({ output, distDir = '.next', experimental }) {
  if (output !== 'standalone') return {}
  const { outputFileTracingIncludes: given = {} } = experimental ?? {}
  const chunks = new Set([...(given['/_app'] ?? []), `${distDir}/server/chunks/**`])
  return { outputFileTracingIncludes: { ...given, '/_app': [...chunks] } }
}

function addPackages(names = []) {
  return [...new Set([...names, ...PACKAGES])]
}

/** Next.js reports such a conflict too, but does not name its source. */
function refuseTranspiling({ transpilePackages = [] }) {
  const name = transpilePackages.find((each) => PACKAGES.includes(each))
  if (name === undefined) return
  throw coded(
    Error,
    'ERR_UPWIRE_INVALID_CONFIG',
    `upwire: take ${name} out of transpilePackages in next.config, because it must not be bundled`,
  )
}

module.exports = { withUpwire }
