'use strict'

// The attachments of this process, by path. An app's code is spread over several bundles, which may
// contain several copies of this package: all of them share this one object.

const { pathKey } = require('../http-server/path')

const REGISTRY = Symbol.for('upwire')

/**
 * `attachments`: the newest one of each path, by the path without its last slash.
 * `early`: the claim that holds requests until the app runs Socket.IO.
 * @type {{ attachments: Map<string, { deref(): import('./attachment').Attachment | undefined }>,
 *   early: import('../next/early-claim').EarlyClaim | undefined }}
 */
const registry = (globalThis[REGISTRY] ??= { attachments: new Map(), early: undefined })

/** Adds an attachment weakly: it stays for as long as its server lives. */
function addWeakly(attachment) {
  registry.attachments.set(pathKey(attachment.prefix), new WeakRef(attachment))
}

/** Adds an attachment for the life of the process, because without a server nothing else refers to it. */
function addForGood(attachment) {
  registry.attachments.set(pathKey(attachment.prefix), { deref: () => attachment })
}

/** The attachment of a path. */
function findAttachment(path) {
  return registry.attachments.get(pathKey(path))?.deref()
}

function allAttachments() {
  return [...registry.attachments.values()].map((each) => each.deref()).filter(Boolean)
}

module.exports = { addForGood, addWeakly, allAttachments, findAttachment, registry }
