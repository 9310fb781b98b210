'use strict'

// A route that calls attach() and adds its listeners at every request must not have them called
// once for each request. So, once attach() has been called again, a listener that reads like one of
// an earlier call takes that one's place.

const { middlewares, namespaces, remove } = require('./setup')

const EVENTS = new Set(['connection', 'connect'])

/** What each namespace had at the last call of attach(). */
const earlier = new WeakMap()

function replaceRepeats(io) {
  for (const namespace of namespaces(io)) {
    if (!earlier.has(namespace)) watch(namespace)
    earlier.set(namespace, snapshot(namespace))
  }
}

function snapshot(namespace) {
  const entries = [...EVENTS].flatMap((event) =>
    namespace.listeners(event).map((handler) => ({ event, handler })),
  )
  return [...entries, ...middlewares(namespace).map((handler) => ({ event: undefined, handler }))]
}

function watch(namespace) {
  for (const method of ['on', 'addListener']) {
    const add = namespace[method]
    namespace[method] = function upwireOn(event, handler) {
      if (EVENTS.has(event)) dropRepeated(namespace, event, handler)
      return add.call(this, event, handler)
    }
  }
  const { use } = namespace
  namespace.use = function upwireUse(handler) {
    dropRepeated(namespace, undefined, handler)
    return use.call(this, handler)
  }
}

/** Takes away the handler of an earlier call that reads like this one. */
function dropRepeated(namespace, event, handler) {
  const handlers = earlier.get(namespace)
  const index = handlers.findIndex(
    (each) => each.event === event && readsAlike(each.handler, handler),
  )
  if (index < 0) return
  remove(namespace, event, handlers[index].handler)
  handlers.splice(index, 1)
}

/** Whether two functions are the same, or made from the same text. */
function readsAlike(left, right) {
  if (left === right) return true
  if (typeof left !== 'function' || typeof right !== 'function') return false
  const text = String(left)
  return text === String(right) && !text.includes('[native code]')
}

module.exports = { readsAlike, replaceRepeats }
