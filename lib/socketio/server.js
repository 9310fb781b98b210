'use strict'

// The official socket.io server on an upwire engine.

const { createRequire } = require('node:module')
const { coded, guarded, warnOnce } = require('../errors')
const { MAX_QUEUED_FILES, enterQueue } = require('../admission/queued-responses')
const { refuseRequest } = require('../http-server/answers')

/** The socket.io that the app has, or an error that says what to install. */
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

/** Oldest versions without a published hole, by package. */
const SAFE = { 'socket.io-parser': [4, 2, 7] }

function warnAboutOldPackages() {
  for (const [name, [major, minor, patch]] of Object.entries(SAFE)) {
    let version
    try {
      // By paths that bundlers do not follow.
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
        `${name} ${version} has published security holes: update to ${wanted}`,
      )
    }
  }
}

/**
 * A socket.io server on an engine; `httpServer` is for who puts the engine on one to set.
 * @param {import('../engine/engine').Engine} engine
 * @param {object} opts
 */
function createServer(engine, opts) {
  const { Server } = load()
  warnAboutOldPackages()
  const io = new Server(opts)
  io.eio = engine
  io.bind(engine)
  io.attach = refuseSecondEngine
  io.listen = refuseSecondEngine
  // A server that closes says so, as io.close() does, before the sessions end.
  engine.on('shutdown', () => {
    const sockets = [...io._nsps.values()].flatMap((each) => [...each.sockets.values()])
    for (const socket of sockets) guarded(() => socket._onclose('server shutting down'))
  })
  return io
}

/** socket.io would put its own engine beside ours, in silence. */
function refuseSecondEngine() {
  throw coded(
    Error,
    'ERR_UPWIRE_ATTACHED',
    'upwire: this socket.io server is attached already; for another HTTP server call attach(server)',
  )
}

/**
 * socket.io's serving of the client bundle.
 * @returns {(req: object, res: object) => boolean} whether the request was for the bundle
 */
function clientBundle(io) {
  if (!io.serveClient() || typeof io.attachServe !== 'function') return () => false
  let serve
  let isOurs
  const elsewhere = () => {
    isOurs = false
  }
  // attachServe wants a server to put itself before; it gets one with a single listener.
  io.attachServe({
    listeners: () => [elsewhere],
    removeAllListeners: () => {},
    on: (_event, listener) => {
      serve = listener
    },
  })
  return (req, res) => {
    // Each opens a file and compresses it, and keeps it open until its response closes.
    const refused = enterQueue(req, res, MAX_QUEUED_FILES)
    if (refused !== undefined) {
      refuseRequest(res, refused)
      return true
    }
    isOurs = true
    serve(req, res)
    return isOurs
  }
}

module.exports = { clientBundle, createServer }
