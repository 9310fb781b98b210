'use strict'

const { isDeepStrictEqual } = require('node:util')
const { Engine } = require('./engine')
const { coded, warnOnce } = require('./errors')
const { pathPrefix, readOptions } = require('./options')
const { clientBundle, createServer } = require('./socketio')

const DEFAULT_PATH = '/socket.io'

/** What is attached to a server, by path prefix; a registered symbol, shared by all copies. */
const ATTACHED = Symbol.for('upwire.attached')

/**
 * Runs Socket.IO on an HTTP server: the official `Server` on upwire's engine.
 * @param {import('node:http').Server} server
 * @param {object} [opts] options of socket.io and of the engine in one object
 */
function attach(server, opts = {}) {
  checkServer(server)
  if (opts === null || typeof opts !== 'object') {
    throw coded(
      TypeError,
      'ERR_UPWIRE_INVALID_OPTION',
      `upwire: opts must be an object, got ${opts}`,
    )
  }
  const options = { ...opts, path: opts.path === '' ? DEFAULT_PATH : (opts.path ?? DEFAULT_PATH) }
  const prefix = pathPrefix(readOptions(options))
  const attached = server[ATTACHED] ?? hidden(server)
  const present = attached.get(prefix)
  if (present !== undefined && !present.engine._isOver) {
    if (Object.keys(opts).length > 0 && !isDeepStrictEqual(opts, present.opts)) {
      warnOnce(
        `attach ${prefix}`,
        'UPWIRE_ATTACHED',
        `attach() was called again for ${prefix} with other options; they are ignored`,
      )
    }
    return present.io
  }
  const engine = new Engine(options)
  const io = createServer(server, engine, options)
  engine._serveStatic = clientBundle(io)
  engine.attach(server, options)
  retireWithServer(engine, io)
  attached.set(prefix, { io, engine, opts: { ...opts } })
  return io
}

/** From the call of `io.close()` on, the path is free for another attach(). */
function retireWithServer(engine, io) {
  const { close } = io
  io.close = function upwireClose(...args) {
    engine._isRetired = true
    return Reflect.apply(close, this, args)
  }
}

function hidden(server) {
  const attached = new Map()
  Object.defineProperty(server, ATTACHED, { value: attached, enumerable: false })
  return attached
}

function checkServer(server) {
  if (typeof server?.emit === 'function' && typeof server.listen === 'function') return
  const hint =
    typeof server === 'function' ? ' (a request handler; pass the http.Server that runs it)' : ''
  throw coded(
    TypeError,
    'ERR_UPWIRE_INVALID_SERVER',
    `upwire: attach() needs an http.Server or https.Server, got ${typeof server}${hint}`,
  )
}

module.exports = { attach }
