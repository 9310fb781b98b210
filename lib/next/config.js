'use strict'

// What an app's next.config needs so that a native addon works on the server.

const { coded, warnOnce } = require('../errors')
const { checkPath } = require('../http-server/path')
const { holdLate } = require('./early-claim')
const { isAtLeast, nextVersion } = require('../environment/version')

/** Packages that bundlers must leave to Node: the first has the addon, the others belong to it. */
const PACKAGES = ['upwire', 'socket.io', 'engine.io']

/** The phases in which the process that evaluates the config is the one that listens. */
const SERVER_PHASES = ['phase-production-server', 'phase-development-server']

/**
 * Adds to a config of Next.js what upwire needs.
 * @param {object | Function} [nextConfig] an object, a function, or an asynchronous function
 * @param {{ path?: string }} [options] `path`: what registerUpwire() is given
 * @returns {(phase: string, context: object) => object | Promise<object>}
 */
function withUpwire(nextConfig = {}, options = {}) {
  const path = options?.path ?? undefined
  if (path !== undefined) checkPath('path of withUpwire()', path)
  const upwireConfig = (phase, context) => {
    if (SERVER_PHASES.includes(phase)) holdLate(path)
    const given =
      typeof nextConfig === 'function' ? nextConfig(phase, context) : { ...upwireConfig }
    return typeof given?.then === 'function' ? given.then(extend) : extend(given)
  }
  if (typeof nextConfig === 'function') return upwireConfig
  // Other wrappers copy what they take for an object: the config must not get lost in them.
  return Object.defineProperties(upwireConfig, Object.getOwnPropertyDescriptors(extend(nextConfig)))
}

function extend(given) {
  const config = given ?? {}
  refuseTranspiling(config)
  if (config.output === 'export') {
    warnOnce(
      'export',
      'ERR_UPWIRE_SERVERLESS',
      "output: 'export' makes files without a server, and so without WebSocket: run `next start`, " +
        'a standalone container or a custom server',
    )
  }
  const version = nextVersion()
  if (version === undefined || isAtLeast(version, [15])) {
    return { ...config, serverExternalPackages: merge(config.serverExternalPackages) }
  }
  // Before, there is no instrumentation, and what the server has from node_modules is not bundled.
  if (!isAtLeast(version, [13, 2])) return { ...config }
  const { experimental = {} } = config
  return {
    ...config,
    experimental: {
      ...experimental,
      ...(!isAtLeast(version, [13, 4]) && tracedChunks(config)),
      instrumentationHook: true,
      serverComponentsExternalPackages: merge(experimental.serverComponentsExternalPackages),
    },
  }
}

/**
 * Before 13.4 Next.js copies instrumentation into a standalone folder, but not the chunks that it
 * loads. `_app` is a page of every app, so what is said to belong to it is copied.
 */
function tracedChunks({ output, distDir = '.next', experimental }) {
  if (output !== 'standalone') return {}
  const { outputFileTracingIncludes: given = {} } = experimental ?? {}
  const chunks = new Set([...(given['/_app'] ?? []), `${distDir}/server/chunks/**`])
  return { outputFileTracingIncludes: { ...given, '/_app': [...chunks] } }
}

function merge(names = []) {
  return [...new Set([...names, ...PACKAGES])]
}

/** Next.js would say that there is a conflict, but not where it comes from. */
function refuseTranspiling({ transpilePackages = [] }) {
  const name = transpilePackages.find((each) => PACKAGES.includes(each))
  if (name === undefined) return
  throw coded(
    Error,
    'ERR_UPWIRE_INVALID_CONFIG',
    `upwire: take ${name} out of transpilePackages in next.config: it must be left to Node`,
  )
}

module.exports = { withUpwire }
