'use strict'

// Extends an app's next.config with the settings that a native addon needs on the server.

const { next: log } = require('../debug')
const { coded, warnOnce } = require('../errors')
const { checkPath } = require('../http-server/path')
const { claimEarlyOnOwnPort } = require('./early-claim')
const { isAtLeast, nextVersion } = require('../environment/version')

/** Packages that must not be bundled: the first contains the addon, the others load beside it. */
const PACKAGES = ['upwire', 'socket.io', 'engine.io']

/** The phases in which the process that evaluates the config also listens. */
const SERVER_PHASES = ['phase-production-server', 'phase-development-server']

/**
 * Adds the settings that upwire needs to a config of Next.js.
 * @param {object | Function} [nextConfig] an object, a function, or an asynchronous function
 * @param {{ path?: string }} [options] `path`: the path that registerUpwire() is called with
 * @returns {(phase: string, context: object) => object | Promise<object>}
 */
function withUpwire(nextConfig = {}, options = {}) {
  const path = options?.path ?? undefined
  if (path !== undefined) checkPath('path of withUpwire()', path)
  const upwireConfig = (phase, context) => {
    const listens = SERVER_PHASES.includes(phase)
    log('withUpwire in %s: %s', phase, listens ? 'claiming the path early' : 'no early claim')
    if (listens) claimEarlyOnOwnPort(path)
    const given =
      typeof nextConfig === 'function' ? nextConfig(phase, context) : { ...upwireConfig }
    return typeof given?.then === 'function' ? given.then(extend) : extend(given)
  }
  if (typeof nextConfig === 'function') return upwireConfig
  // Wrappers that expect an object copy the properties of what they receive, so the function carries
  // the config's properties.
  return Object.defineProperties(upwireConfig, Object.getOwnPropertyDescriptors(extend(nextConfig)))
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
