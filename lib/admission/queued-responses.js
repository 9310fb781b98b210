'use strict'

const { busy } = require('./refusal')

/** Responses that may be queued behind others on one connection. Engine.IO's clients queue none. */
const MAX_QUEUED = 256
/** The same for those that take a file and memory for its compression. */
const MAX_QUEUED_FILES = 16

/** Those that are, by connection. @type {WeakMap<object, Set<object>>} */
const queues = new WeakMap()

/**
 * Has a response that is queued behind those of earlier requests emit `close` when its connection closes:
 * Node does so only for the one that is being written.
 * @param {number} most how many a connection may queue
 * @returns {import('./refusal').Refusal | undefined} for one more
 */
function enterQueue({ socket }, res, most = MAX_QUEUED) {
  // The one that is being written has its socket.
  if (res.socket !== null || !socket) return undefined
  const queue = queues.get(socket) ?? watch(socket)
  if (queue.has(res)) return undefined
  if (queue.size >= most) return busy('PIPELINED', 'Too many requests')
  queue.add(res)
  res.once('close', () => queue.delete(res))
  return undefined
}

function watch(socket) {
  const queue = new Set()
  queues.set(socket, queue)
  socket.once('close', () => {
    for (const res of queue) close(res)
  })
  return queue
}

function close(res) {
  if (res.socket !== null) return
  res.destroy()
  res.emit('close')
}

module.exports = { MAX_QUEUED_FILES, enterQueue }
