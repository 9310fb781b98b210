'use strict'

/** Bytes of what engine.io takes for binary; `undefined` for anything else. Nothing is copied. */
function toBytes(data) {
  if (data instanceof Uint8Array) return data
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  }
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data)
  return undefined
}

/** What goes over the wire for data that is neither text nor binary: engine.io's rule. */
function toText(data) {
  return data ? String(data) : ''
}

module.exports = { toBytes, toText }
