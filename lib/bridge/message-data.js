'use strict'

const EMPTY = new Uint8Array(0)

/**
 * The bytes of data that engine.io sends as binary, without copying them; `undefined` for other data.
 * A detached buffer has no bytes, and reading the offset of a view on one would throw.
 */
function toBytes(data) {
  if (data instanceof Uint8Array) return data
  if (ArrayBuffer.isView(data)) {
    if (data.buffer.byteLength === 0) return EMPTY
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  }
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) {
    return data.byteLength === 0 ? EMPTY : new Uint8Array(data)
  }
  return undefined
}

/** The text that engine.io sends for data that is neither a string nor binary. */
function toText(data) {
  return data ? String(data) : ''
}

module.exports = { toBytes, toText }
