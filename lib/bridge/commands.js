'use strict'

// What sessions send: staged natively during a tick, handed to the I/O threads at its end.

const native = require('./binding')
const { Broadcast } = require('./broadcast-batch')
const { toBytes, toText } = require('./message-data')

const RECEIPT = 1

/** The calls made for every message; set when the I/O threads start. */
let hot
let tick = 1
let isStaged = false
const broadcast = new Broadcast(stageBroadcast)
/** Sessions whose `drain` somebody waits for, since this tick. */
const reports = new Set()

/** Delivers events; set with the calls. */
let deliver

function setHot(calls, deliverEvents) {
  hot = calls
  deliver = deliverEvents
}

/** The number of the running tick: what was written in it has not been handed over yet. */
function currentTick() {
  return tick
}

/** Sees to it that what is staged in this tick is handed over at its end. */
function stage() {
  if (isStaged) return
  isStaged = true
  process.nextTick(handOver)
}

function handOver() {
  isStaged = false
  if (reports.size > 0) stageReports()
  tick++
  broadcast.flush()
  // Not at once: a callback that sends again would keep the loop from going round.
  if (hot.flush()) setImmediate(deliver)
}

function stageReports() {
  const sockets = [...reports]
  reports.clear()
  for (const socket of sockets) socket._report()
}

/** Stages a message. */
function write(socket, data, wantsReceipt) {
  broadcast.flush()
  const flags = wantsReceipt ? RECEIPT : 0
  if (typeof data === 'string') {
    hot.text(socket._slot, socket._generation, data, flags)
  } else {
    const bytes = toBytes(data)
    if (bytes === undefined) hot.text(socket._slot, socket._generation, toText(data), flags)
    else hot.binary(socket._slot, socket._generation, bytes, flags)
  }
  stage()
}

/** Stages a message that others get as well: the same data with the same options object. */
function writeShared(socket, data, options) {
  broadcast.add(socket, data, options)
  stage()
}

function stageBroadcast(pairs, count, data, options) {
  if (typeof data === 'string') {
    const frame = options.wsPreEncodedFrame
    hot.broadcast(pairs, count, data, Array.isArray(frame) ? Buffer.concat(frame) : undefined)
  } else {
    hot.broadcast(pairs, count, toBytes(data) ?? toText(data), undefined)
  }
}

/** Stages a command for a session, behind what was written to it. */
function command(name, socket, ...args) {
  broadcast.flush()
  native[name](socket._slot, socket._generation, ...args)
  stage()
}

/** Hands over what is staged, before the tick ends. */
function flush() {
  broadcast.flush()
  if (hot.flush()) setImmediate(deliver)
}

/** Hands over and blocks until each I/O thread has tried to write it, at most so many ms each. */
function flushAndWait(milliseconds) {
  broadcast.flush()
  native.flushAndWait(milliseconds)
}

/** Has a session told when what waits at the end of this tick has left. */
function reportLater(socket) {
  reports.add(socket)
  stage()
}

/** Messages that wait for a session's peer beyond the kernel's. */
function unsentMessages(socket) {
  return hot.unsentMessages(socket._slot, socket._generation)
}

/** Bytes that wait for a session's peer beyond the kernel's. */
function unsent(socket) {
  return hot.unsent(socket._slot, socket._generation)
}

/** Whether a session has packets enough: its next POST has to wait. */
function isBusy(socket) {
  return hot.isBusy(socket._slot, socket._generation)
}

module.exports = {
  command,
  currentTick,
  flush,
  flushAndWait,
  isBusy,
  reportLater,
  setHot,
  stage,
  unsent,
  unsentMessages,
  write,
  writeShared,
}
