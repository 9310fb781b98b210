'use strict'

const { coded } = require('../errors')

/** The native addon, or an error that says which file is missing and how to get it. */
function load() {
  try {
    // A name of package.json's `imports`, because bundlers cannot take what Node loads. They get a
    // module, and Node a CommonJS file.
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
