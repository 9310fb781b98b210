'use strict'

const { invalid } = require('../errors')

/** socket.io's default path. */
const DEFAULT_PATH = '/socket.io'

/** Checks an option whose value is a path. */
function checkPath(name, value) {
  if (typeof value === 'string' && value.startsWith('/')) return value
  throw invalid(name, value, 'a string that begins with "/"')
}

/** The path without its trailing slash: attachments are registered by it. */
function pathKey(path) {
  return path.replace(/\/$/, '')
}

module.exports = { DEFAULT_PATH, checkPath, pathKey }
