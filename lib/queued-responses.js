'use strict'

/** Responses that are queued behind earlier ones, by connection. @type {WeakMap<object, Set<object>>} */
const queues = new WeakMap()

/**
 * Has a response emit `close` when its connection closes. Node does so for the one that is being
 * written, not for those of pipelined requests behind it.
 */
function closeWithConnection({ socket }, res) {
  // The one that is being written has its socket.
  if (res.socket !== null || !socket) return
  const queue = queues.get(socket) ?? watch(socket)
  queue.add(res)
  res.once('close', () => queue.delete(res))
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

module.exports = { closeWithConnection }
