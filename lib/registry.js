'use strict'

// What runs Socket.IO in this process, by path. An app's code lives in several bundles, and may have
// several copies of this package: all of them share this one object.

const { invalid } = require('./errors')

const REGISTRY = Symbol.for('upwire')

/** The path of socket.io where none is given. */
const DEFAULT_PATH = '/socket.io'

/**
 * `attachments`: who runs a path, by path without its last slash; the newest.
 * `early`: what holds requests until somebody runs the path.
 * @type {{ attachments: Map<string, { deref(): import('./attachment').Attachment | undefined }>,
 *   early: import('./next/early').EarlyClaim | undefined }}
 */
const registry = (globalThis[REGISTRY] ??= { attachments: new Map(), early: undefined })

/** An option that is a path. */
function checkPath(name, value) {
  if (typeof value === 'string' && value.startsWith('/')) return value
  throw invalid(name, value, 'a string that begins with "/"')
}

/** A path as it names an attachment. */
function pathKey(path) {
  return path.replace(/\/$/, '')
}

/** Makes an attachment known for as long as its server lives. */
function remember(attachment) {
  registry.attachments.set(pathKey(attachment.prefix), new WeakRef(attachment))
}

/** Makes an attachment known for as long as the process lives: its server has yet to come. */
function keep(attachment) {
  registry.attachments.set(pathKey(attachment.prefix), { deref: () => attachment })
}

/** Who runs a path. */
function lookUp(path) {
  return registry.attachments.get(pathKey(path))?.deref()
}

/** All that are known. */
function attachments() {
  return [...registry.attachments.values()].map((each) => each.deref()).filter(Boolean)
}

module.exports = { DEFAULT_PATH, attachments, checkPath, keep, lookUp, pathKey, registry, remember }
