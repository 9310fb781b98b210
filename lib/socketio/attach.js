'use strict'

const { isDeepStrictEqual } = require('node:util')
const { Attachment, attachedTo } = require('./attachment')
const { coded, warnOnce } = require('../errors')
const { isRenderWorker, limitToPolling } = require('../environment/render-workers')
const { pathPrefix, readOptions } = require('../engine/options')
const { readsAlike } = require('./repeated-handlers')
const { keep, lookUp, registry, remember } = require('./registry')
const { DEFAULT_PATH } = require('../http-server/path')

/**
 * Runs Socket.IO on an HTTP server: the official `Server` on upwire's engine.
 * @param {import('node:http').Server} server
 * @param {object} [opts] options of socket.io and of the engine in one object
 * @param {Function} [setup] adds the app's handlers
 */
function attach(server, opts = {}, setup = undefined) {
  return attachTo(server, opts, setup, readsAlike, 'attach')
}

/** `isSame` says whether a setup is the one that has run. */
function attachTo(server, opts, setup, isSame, caller) {
  checkServer(server, caller)
  checkSetup(caller, setup)
  const given = attachOptions(opts)
  const options = isRenderWorker() ? limitToPolling(given) : given
  const prefix = pathPrefix(readOptions(options))
  const present = attachedTo(server).get(prefix) ?? waiting(prefix)
  const attachment = isAlive(present)
    ? again(present, opts, `${caller}()`)
    : new Attachment(options, opts)
  if (attachment.server === undefined) {
    attachment.bind(server)
    // It knows the path better than who holds requests for one that was guessed.
    registry.early?.stop()
  }
  if (attachment !== present) remember(attachment)
  if (setup !== undefined) attachment.setUp(setup, isSame)
  return attachment.io
}

/**
 * Makes Socket.IO for a server that is yet to come; who runs the path already is taken.
 * @param {(left: Function, right: Function) => boolean} isSame
 */
function register(opts, setup, isSame) {
  checkSetup('registerUpwire', setup)
  const options = attachOptions(opts)
  const present = lookUp(pathPrefix(readOptions(options)))
  const attachment = isAlive(present)
    ? again(present, opts, 'registerUpwire()')
    : new Attachment(options, opts)
  if (attachment !== present) keep(attachment)
  if (setup !== undefined) attachment.setUp(setup, isSame)
  return attachment
}

function isAlive(attachment) {
  return attachment !== undefined && !attachment.isOver
}

/** A path that was registered and has no server yet. */
function waiting(prefix) {
  const registered = lookUp(prefix)
  return registered?.prefix === prefix && registered.server === undefined ? registered : undefined
}

/** The same attachment once more. */
function again(attachment, opts, caller) {
  attachment.replaceRepeats()
  if (Object.keys(opts).length > 0 && !isAlike(opts, attachment.given)) {
    warnOnce(
      `attach ${attachment.prefix}`,
      'UPWIRE_ATTACHED',
      `${caller} was called again for ${attachment.prefix} with other options; they are ignored`,
    )
  }
  return attachment
}

/** Whether two objects have the same options; functions may be made anew. */
function isAlike(left, right) {
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  return [...names].every(
    (name) => readsAlike(left[name], right[name]) || isDeepStrictEqual(left[name], right[name]),
  )
}

/** What socket.io's own parser and encoder handle without harm; the encoder is recursive. */
const MAX_DEPTH = 1000

/** The options with a path, and the limits that socket.io's parser needs. */
function attachOptions(opts) {
  if (opts === null || typeof opts !== 'object') {
    throw coded(
      TypeError,
      'ERR_UPWIRE_INVALID_OPTION',
      `upwire: opts must be an object, got ${opts}`,
    )
  }
  return {
    ...opts,
    path: opts.path === '' ? DEFAULT_PATH : (opts.path ?? DEFAULT_PATH),
    maxDepth: opts.maxDepth === undefined && !opts.parser ? MAX_DEPTH : opts.maxDepth,
  }
}

function checkSetup(caller, setup) {
  if (setup === undefined || typeof setup === 'function') return
  throw coded(
    TypeError,
    'ERR_UPWIRE_INVALID_OPTION',
    `upwire: setup of ${caller}() must be a function, got ${setup}`,
  )
}

function checkServer(server, caller) {
  // An Express app is a function that emits and listens, too.
  const isFunction = typeof server === 'function'
  const looksRight = typeof server?.emit === 'function' && typeof server.listen === 'function'
  if (looksRight && !isFunction) return
  const hint = isFunction ? ' (a request handler; pass the http.Server that runs it)' : ''
  throw coded(
    TypeError,
    'ERR_UPWIRE_INVALID_SERVER',
    `upwire: ${caller}() needs an http.Server or https.Server, got ${typeof server}${hint}`,
  )
}

module.exports = { attach, attachTo, register }
