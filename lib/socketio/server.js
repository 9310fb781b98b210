'use strict'

// The official socket.io server on an upwire engine.

const { createRequire } = require('node:module')
const { coded, guarded, warnOnce } = require('../errors')
const { MAX_QUEUED_FILES, enterQueue } = require('../admission/queued-responses')
const { logRefusal } = require('../admission/loggable')
const { refuseRequest } = require('../http-server/answers')

/** Loads the app's own socket.io. Without it, the error names the package to install. */
function load() {
  try {
    return require('socket.io')
  } catch (cause) {
    if (cause.code !== 'MODULE_NOT_FOUND') throw cause
    const error = coded(
      Error,
      'ERR_UPWIRE_SOCKET_IO_MISSING',
      'upwire: attach() needs the package socket.io, version 4.8 or newer: npm install socket.io',
    )
    error.cause = cause
    throw error
  }
}

/** Oldest versions without a published vulnerability, by package. */
const OLDEST_SAFE = { 'socket.io-parser': [4, 2, 7] }

function warnAboutOldPackages() {
  for (const [name, [major, minor, patch]] of Object.entries(OLDEST_SAFE)) {
    let version
    try {
      // Through createRequire(), because bundlers would follow a plain require().
      const socketIo = createRequire(createRequire(__filename).resolve('socket.io/package.json'))
      version = socketIo(`${name}/package.json`).version
    } catch {
      continue
    }
    const [a, b, c] = version.split('.').map((part) => Number.parseInt(part, 10))
    const isOld = a < major || (a === major && (b < minor || (b === minor && c < patch)))
    if (isOld) {
      const wanted = `${major}.${minor}.${patch}`
      warnOnce(
        name,
        'UPWIRE_OLD_PACKAGE',
        `${name} ${version} has published security vulnerabilities: update to ${wanted} or newer`,
      )
    }
  }
}

/**
 * Makes a socket.io server on an engine. The caller that attaches the engine to an HTTP server sets
 * `httpServer`.
 * @param {import('../engine/engine').Engine} engine
 * @param {object} opts
 */
function createServer(engine, opts) {
  const { Server } = load()
  warnAboutOldPackages()
  const io = new Server(opts)
  addEngine(io, engine)
  return io
}

/** Makes a socket.io server serve the sessions of an engine, in addition to those that it serves. */
function addEngine(io, engine) {
  io.eio = engine
  io.bind(engine)
  // As in io.close(), sockets get the reason `server shutting down` before their sessions end.
  engine.on('shutdown', () => {
    const sockets = [...io._nsps.values()].flatMap((each) => [...each.sockets.values()])
    for (const socket of sockets) {
      if (socket.conn.server === engine) guarded(() => socket._onclose('server shutting down'))
    }
  })
}

/**
 * Makes the function that serves socket.io's client bundle: socket.io's own listener, which it would
 * otherwise add to an HTTP server.
 * @returns {(req: object, res: object) => boolean} answers a request for the bundle; `false` for others
 */
function clientBundle(io) {
  if (!io.serveClient() || typeof io.attachServe !== 'function') return () => false
  let serve
  let isServed
  const onOtherRequest = () => {
    isServed = false
  }
  // attachServe() puts its listener before those of a server. This object stands for a server with one
  // listener, which is called for requests that are not for the bundle.
  io.attachServe({
    listeners: () => [onOtherRequest],
    removeAllListeners: () => {},
    on: (_event, listener) => {
      serve = listener
    },
  })
  return (req, res) => {
    // Each response opens a file, compresses it, and keeps it open until the response closes.
    const refused = enterQueue(req, res, MAX_QUEUED_FILES)
    if (refused !== undefined) {
      logRefusal(req, req.socket.remoteAddress, refused)
      refuseRequest(res, refused)
      return true
    }
    isServed = true
    serve(req, res)
    return isServed
  }
}

module.exports = { addEngine, clientBundle, createServer }
