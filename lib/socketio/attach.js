'use strict'

const { isDeepStrictEqual } = require('node:util')
const { Attachment, attachmentsOf } = require('./attachment')
const { next: log } = require('../debug')
const { coded, warnOnce } = require('../errors')
const { isRenderWorker, limitToPolling } = require('../environment/render-workers')
const { pathPrefix, readOptions } = require('../engine/options')
const { checkServer } = require('./http-servers')
const { haveSameSource } = require('./repeated-handlers')
const { addForGood, addWeakly, findAttachment, registry } = require('./registry')
const { DEFAULT_PATH } = require('../http-server/path')

/**
 * Runs Socket.IO on an HTTP server: the official `Server` on upwire's engine.
 * @param {import('node:http').Server} server
 * @param {object} [opts] options of socket.io and of the engine in one object
 * @param {import('../../index').Setup} [setup] adds the app's handlers
 */
function attach(server, opts = {}, setup = undefined) {
  return attachTo(server, opts, setup, haveSameSource, 'attach')
}

/**
 * The implementation of attach() and socketRoute().
 * @param {(left: Function, right: Function) => boolean} isSame whether a setup is the one that has run
 * @param {string} caller name of the public function, for errors and warnings
 */
function attachTo(server, opts, setup, isSame, caller) {
  checkServer(server, caller)
  checkSetup(caller, setup)
  const given = attachOptions(opts)
  const options = isRenderWorker() ? limitToPolling(given) : given
  const prefix = pathPrefix(readOptions(options))
  const present = attachmentsOf(server).get(prefix) ?? findWaiting(prefix)
  const attachment = isUsable(present)
    ? reuse(present, opts, `${caller}()`)
    : new Attachment(options, opts)
  if (attachment.state === 'waiting') {
    attachment.bind(server)
    log('%s() has attached Socket.IO on %s', caller, prefix)
    // The app has named its server and path, so the early claim needs no further search.
    registry.early?.stopSearch()
  }
  if (attachment !== present) addWeakly(attachment)
  if (setup !== undefined) attachment.setUp(setup, isSame)
  return attachment.io
}

/**
 * Makes Socket.IO for a server that is yet to be found, or reuses the attachment that has the path.
 * @param {(left: Function, right: Function) => boolean} isSame whether a setup is the one that has run
 * @returns {Attachment}
 */
function attachLater(opts, setup, isSame) {
  checkSetup('registerUpwire', setup)
  const options = attachOptions(opts)
  const present = findAttachment(pathPrefix(readOptions(options)))
  const attachment = isUsable(present)
    ? reuse(present, opts, 'registerUpwire()')
    : new Attachment(options, opts)
  if (attachment !== present) addForGood(attachment)
  if (setup !== undefined) attachment.setUp(setup, isSame)
  return attachment
}

function isUsable(attachment) {
  return attachment !== undefined && attachment.state !== 'over'
}

/** The attachment that was registered for a path and has no server yet. */
function findWaiting(prefix) {
  const registered = findAttachment(prefix)
  return registered?.prefix === prefix && registered.server === undefined ? registered : undefined
}

/** Returns an attachment to a further caller, and warns once if the options differ. */
function reuse(attachment, opts, caller) {
  attachment.replaceRepeatedHandlers()
  if (Object.keys(opts).length > 0 && !areAlike(opts, attachment.given)) {
    warnOnce(
      `attach ${attachment.prefix}`,
      'UPWIRE_ATTACHED',
      `${caller} was called again for ${attachment.prefix} with other options, which are ignored`,
    )
  }
  return attachment
}

/** Whether two objects have the same options. Functions count as the same when their source is. */
function areAlike(left, right) {
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  return [...names].every(
    (name) => haveSameSource(left[name], right[name]) || isDeepStrictEqual(left[name], right[name]),
  )
}

/** The depth that socket.io's own parser and encoder can handle; the encoder is recursive. */
const MAX_DEPTH = 1000

/** The options with a path, and with the limits that socket.io's parser needs. */
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

module.exports = { attach, attachLater, attachTo }
