'use strict'

const { coded } = require('../errors')

/**
 * Loads the native addon.
 * @throws {Error} `ERR_UPWIRE_NATIVE_MISSING` when there is no binary for this platform
 */
function load() {
  try {
    // package.json's `imports` map this name to a CommonJS file for Node, and to an ES module for
    // bundlers, which cannot bundle a binary.
    const binding = require('#native')
    return binding.default ?? binding
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`
    const error = coded(
      Error,
      'ERR_UPWIRE_NATIVE_MISSING',
      `upwire has no native binary for ${platform}: the package upwire-${platform}* is not installed ` +
        'and there is no local build. Install with optional dependencies on the platform that runs ' +
        'the app, or build it from source with a Rust toolchain: npm run build-from-source --prefix ' +
        'node_modules/upwire',
    )
    error.cause = cause
    throw error
  }
}

module.exports = load()
