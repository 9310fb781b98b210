'use strict'

const { busy } = require('./refusal')

/** How many responses one connection may queue behind others. Engine.IO's clients queue none. */
const MAX_QUEUED = 256
/** The same for responses that hold a file open, and memory for its compression. */
const MAX_QUEUED_FILES = 16

/** The queued responses by connection. @type {WeakMap<object, Set<object>>} */
const queues = new WeakMap()

/**
 * Limits how many responses a connection queues behind earlier ones, and makes a queued response emit
 * `close` when its connection closes: Node does so only for the response that is being written.
 * @param {number} max how many a connection may queue
 * @returns {import('./refusal').Refusal | undefined} a refusal when the queue is full
 */
function enterQueue({ socket }, res, max = MAX_QUEUED) {
  // Only the response that is being written has its socket.
  if (res.socket !== null || !socket) return undefined
  const queue = queues.get(socket) ?? makeQueue(socket)
  if (queue.has(res)) return undefined
  if (queue.size >= max) return busy('PIPELINED', 'Too many requests')
  queue.add(res)
  res.once('close', () => queue.delete(res))
  return undefined
}

function makeQueue(socket) {
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
