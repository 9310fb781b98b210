'use strict'

const { randomFillSync } = require('node:crypto')

const ID_BYTES = 15
const MAX_LENGTH = 256

/** Random bytes for many ids: a call for each id would cost more than the rest of the work. */
const pool = Buffer.alloc(ID_BYTES * 256)
let used = pool.length

/** 20 characters of `[A-Za-z0-9_-]`: 120 random bits. */
function randomId() {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += ID_BYTES
  return pool.toString('base64url', used - ID_BYTES, used)
}

/**
 * Checks an id that the app has made.
 * @param {Record<string, unknown>} sessions the open sessions by id
 * @returns {Error | undefined} why the id cannot be used
 */
function checkId(id, sessions) {
  if (
    typeof id !== 'string' ||
    id === '' ||
    id.length > MAX_LENGTH ||
    /[\x00-\x1f\x7f]/.test(id) ||
    !id.isWellFormed()
  ) {
    return new TypeError(
      'generateId must return a string of 1 to 256 characters, without control characters',
    )
  }
  if (Object.hasOwn(sessions, id)) return new Error('generateId returned an id that is in use')
  return undefined
}

module.exports = { checkId, randomId }
