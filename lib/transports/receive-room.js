'use strict'

// While `maxTotalReceiveQueue` is exceeded, bodies of POSTs wait unread, as WebSockets do.

const native = require('../bridge/binding')

/** Milliseconds between two checks for room. */
const INTERVAL = 20

/** The callbacks that wait for room, in order. @type {Set<() => void>} */
const waiting = new Set()
let timer

/** Whether there is room for more client data. */
function hasRoom() {
  return !native.isOverloaded()
}

/**
 * Calls `resume` once there is room.
 * @returns {() => void} stops the wait
 */
function awaitRoom(resume) {
  waiting.add(resume)
  timer ??= setInterval(resumeWaiting, INTERVAL).unref()
  return () => waiting.delete(resume)
}

function resumeWaiting() {
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
