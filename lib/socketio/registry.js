'use strict'

// What runs Socket.IO in this process, by path. An app's code lives in several bundles, and may have
// several copies of this package: all of them share this one object.

const { pathKey } = require('../http-server/path')

const REGISTRY = Symbol.for('upwire')

/**
 * `attachments`: who runs a path, by path without its last slash; the newest.
 * `early`: what holds requests until somebody runs the path.
 * @type {{ attachments: Map<string, { deref(): import('./attachment').Attachment | undefined }>,
 *   early: import('../next/early-claim').EarlyClaim | undefined }}
 */
const registry = (globalThis[REGISTRY] ??= { attachments: new Map(), early: undefined })

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

module.exports = { attachments, keep, lookUp, registry, remember }
