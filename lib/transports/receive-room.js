'use strict'

// Bodies of POSTs wait unread while `maxTotalReceiveQueue` is exceeded, as WebSockets do.

const native = require('../bridge/binding')

/** Milliseconds between two looks whether there is room again. */
const INTERVAL = 20

/** Called, in order, when there is room. @type {Set<() => void>} */
const waiting = new Set()
let timer

/** Whether there is room for more of what peers send. */
function hasRoom() {
  return !native.isOverloaded()
}

/**
 * Calls `resume` once there is room.
 * @returns {() => void} stops the wait
 */
function awaitRoom(resume) {
  waiting.add(resume)
  timer ??= setInterval(look, INTERVAL).unref()
  return () => waiting.delete(resume)
}

function look() {
  for (const resume of waiting) {
    if (!hasRoom()) return
    waiting.delete(resume)
    resume()
  }
  if (waiting.size > 0) return
  clearInterval(timer)
  timer = undefined
}

module.exports = { awaitRoom, hasRoom }
