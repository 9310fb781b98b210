'use strict'

const { createServer } = require('node:http')
const { coded } = require('../errors')

/** Checks that a value is an HTTP server; `caller` is the public function that received it. */
function checkServer(server, caller) {
  // An Express app is a function with `emit` and `listen`, too.
  const isFunction = typeof server === 'function'
  const looksRight = typeof server?.emit === 'function' && typeof server.listen === 'function'
  if (looksRight && !isFunction) return
  const hint = isFunction ? ' (a request handler; pass the http.Server that calls it)' : ''
  throw coded(
    TypeError,
    'ERR_UPWIRE_INVALID_SERVER',
    `upwire: ${caller}() needs an http.Server or https.Server, got ${typeof server}${hint}`,
  )
}

/** The HTTP server that `io.attach()` and `io.listen()` are given: a port stands for a new one. */
function serverFor(given) {
  const isPort = given !== '' && (typeof given === 'number' || typeof given === 'string')
  if (!isPort || Number.isNaN(Number(given))) {
    checkServer(given, 'io.attach')
    return given
  }
  const server = createServer((_req, res) => res.writeHead(404).end())
  return server.listen(Number(given))
}

module.exports = { checkServer, serverFor }
