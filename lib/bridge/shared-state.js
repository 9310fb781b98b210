'use strict'

const native = require('./binding')

/**
 * The state that goes with one loaded addon in one thread. A bundler or a test runner may evaluate
 * upwire's files a second time; the copies find the same addon, and share this object.
 */
const KEY = Symbol.for(`upwire.shared.${native.image()}`)

module.exports = globalThis[KEY] ??= {
  /** Sessions by slot. @type {Array<import('../engine/engine-socket').EngineSocket | undefined>} */
  sockets: [],
  /** How many sessions are open. */
  open: 0,
  /** A timer that keeps the process alive while sessions are open. */
  keepAlive: undefined,
  /** JavaScript streams that carry a WebSocket, by number. */
  streams: new Map(),
  lastStream: 0,
  /** The shared options that the I/O threads were started with. */
  started: undefined,
  /** The native functions that are called for every message. */
  hot: undefined,
  /** Integers that describe the events of one delivery. @type {Int32Array | undefined} */
  meta: undefined,
  /** Bytes of the small binary messages of one delivery. @type {Buffer | undefined} */
  small: undefined,
  /** Delivers events. */
  deliver: undefined,
}
