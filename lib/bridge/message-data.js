'use strict'

const EMPTY = new Uint8Array(0)

/**
 * Bytes of what engine.io takes for binary; `undefined` for anything else. Nothing is copied. What
 * is detached has no bytes, and a view on it must not be asked for its place.
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

/** What goes over the wire for data that is neither text nor binary: engine.io's rule. */
function toText(data) {
  return data ? String(data) : ''
}

module.exports = { toBytes, toText }
