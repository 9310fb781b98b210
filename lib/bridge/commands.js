'use strict'

// Stages commands of sessions in native memory, and flushes them to the I/O threads at the end of the
// tick.

const native = require('./binding')
const { Broadcast } = require('./broadcast-batch')
const { FLAGS } = require('./contract')
const { toBytes, toText } = require('./message-data')

/** The native functions that are called for every message. Set when the I/O threads start. */
let hot
/** Delivers events. Set together with the functions. */
let deliver
let tick = 1
/** The first byte of a ping frame: the final fragment, opcode 9. */
const PING_FRAME = 0x89
let willFlush = false
const broadcast = new Broadcast(stageBroadcast)
/**
 * Sessions that want a notice when their queue has drained, as it is at the end of this tick, with the
 * packets of this tick.
 * @type {Map<import('../engine/engine-socket').EngineSocket, object[]>}
 */
const drainNotices = new Map()

function setHotCalls(calls, deliverEvents) {
  hot = calls
  deliver = deliverEvents
}

/** The number of the running tick. Messages written in it have not been flushed yet. */
function currentTick() {
  return tick
}

/** Schedules a flush at the end of the tick. */
function scheduleFlush() {
  if (willFlush) return
  willFlush = true
  process.nextTick(flushTick)
}

function flushTick() {
  willFlush = false
  if (drainNotices.size > 0) stageDrainNotices()
  tick++
  flush()
}

function stageDrainNotices() {
  const notices = [...drainNotices]
  drainNotices.clear()
  for (const [socket, packets] of notices) socket._stageDrainNotice(packets)
}

/** Flushes what is staged. */
function flush() {
  broadcast.flush()
  // The native side may have carried out commands at once. Their events are delivered from the event
  // loop: a callback that sends again would block it otherwise.
  if (hot.flush()) setImmediate(deliver)
}

/** Flushes, and blocks until each I/O thread has tried to write, for at most `milliseconds` each. */
function flushAndWait(milliseconds) {
  broadcast.flush()
  native.flushAndWait(milliseconds)
}

/** Stages a message. With a receipt, a `SENT` event follows when it was written. */
function write(socket, data, options, wantsReceipt) {
  broadcast.flush()
  const flags = (wantsReceipt ? FLAGS.RECEIPT : 0) | compression(options)
  if (typeof data === 'string') {
    hot.text(socket._slot, socket._generation, data, flags)
  } else {
    const bytes = toBytes(data)
    if (bytes === undefined) hot.text(socket._slot, socket._generation, toText(data), flags)
    else hot.binary(socket._slot, socket._generation, bytes, flags)
  }
  scheduleFlush()
}

/** Stages a message that other sessions may get as well: the same data and the same options object. */
function writeShared(socket, data, options) {
  broadcast.add(socket, data, options)
  scheduleFlush()
}

/** Stages a WebSocket ping frame, in the order of the messages. */
function writePing(socket, bytes) {
  broadcast.flush()
  const frame = Buffer.concat([Buffer.from([PING_FRAME, bytes.length]), bytes])
  hot.broadcast(Int32Array.of(socket._slot, socket._generation), 1, '', frame, FLAGS.PLAIN)
  scheduleFlush()
}

/** The flag of a message that must not be compressed. */
function compression(options) {
  return options?.compress === false ? FLAGS.PLAIN : 0
}

function stageBroadcast(pairs, count, data, options, engine) {
  const flags = compression(options)
  if (typeof data === 'string') {
    // As with engine.io, an engine that compresses encodes all frames itself.
    const frame = engine._compresses ? undefined : options.wsPreEncodedFrame
    const bytes = Array.isArray(frame) ? Buffer.concat(frame) : undefined
    hot.broadcast(pairs, count, data, bytes, flags)
  } else {
    hot.broadcast(pairs, count, toBytes(data) ?? toText(data), undefined, flags)
  }
}

/**
 * Stages a command for a session, behind the messages written to it.
 * @param {string} name an export of src/addon/session.rs
 */
function command(name, socket, ...args) {
  broadcast.flush()
  const result = native[name](socket._slot, socket._generation, ...args)
  scheduleFlush()
  return result
}

/**
 * Asks for a drain notice at the end of the tick, so that it covers all messages of the tick.
 * @param {object} [packet] a packet of the tick, for the event `flush`
 */
function requestDrainNotice(socket, packet) {
  let packets = drainNotices.get(socket)
  if (packets === undefined) {
    packets = []
    drainNotices.set(socket, packets)
  }
  if (packet !== undefined) packets.push(packet)
  scheduleFlush()
}

/** Messages that wait in a session's queue; those in kernel buffers do not count. */
function unsentMessages(socket) {
  return hot.unsentMessages(socket._slot, socket._generation)
}

/** Bytes that wait in a session's queue. */
function unsent(socket) {
  return hot.unsent(socket._slot, socket._generation)
}

/** Whether a session's next POST must wait, because enough of its packets are undelivered. */
function isBusy(socket) {
  return hot.isBusy(socket._slot, socket._generation)
}

module.exports = {
  command,
  currentTick,
  flush,
  flushAndWait,
  isBusy,
  requestDrainNotice,
  scheduleFlush,
  setHotCalls,
  unsent,
  unsentMessages,
  write,
  writePing,
  writeShared,
}
