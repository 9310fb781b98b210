'use strict'

// A route that calls attach() and adds its listeners at every request must not have them called
// once for each request. So, once attach() has been called again, a listener that reads like one of
// an earlier call takes that one's place.

const { isRegExp } = require('node:util').types
const { middlewares, namespaces, remove } = require('./setup')

/** What each namespace, and the engine, had at the last call of attach(). */
const earlier = new WeakMap()

function replaceRepeats(io) {
  if (!earlier.has(io.engine)) reuseDynamicNamespaces(io)
  for (const emitter of [...namespaces(io), io.engine]) {
    if (!earlier.has(emitter)) watch(emitter)
    earlier.set(emitter, snapshot(emitter))
  }
}

function snapshot(emitter) {
  const listeners = emitter
    .eventNames()
    .flatMap((event) => emitter.listeners(event).map((handler) => ({ event, handler })))
  return [...listeners, ...middlewares(emitter).map((handler) => ({ event: undefined, handler }))]
}

function watch(emitter) {
  for (const method of ['on', 'addListener']) {
    const add = emitter[method]
    emitter[method] = function upwireOn(event, handler) {
      dropRepeated(emitter, event, handler)
      return add.call(this, event, handler)
    }
  }
  const { use } = emitter
  emitter.use = function upwireUse(handler) {
    dropRepeated(emitter, undefined, handler)
    return use.call(this, handler)
  }
}

/** Takes away the handler of an earlier call that reads like this one. */
function dropRepeated(emitter, event, handler) {
  const handlers = earlier.get(emitter)
  const index = handlers.findIndex(
    (each) => each.event === event && readsAlike(each.handler, handler),
  )
  if (index < 0) return
  remove(emitter, event, handlers[index].handler)
  handlers.splice(index, 1)
}

/** `io.of()` makes another parent for each function and each expression, also for one that reads alike. */
function reuseDynamicNamespaces(io) {
  const { of } = io
  io.of = function upwireOf(name, listener) {
    const present = dynamicNamespace(io, name)
    if (present === undefined) return of.call(this, name, listener)
    if (listener) present.on('connect', listener)
    return present
  }
}

function dynamicNamespace(io, name) {
  if (isRegExp(name)) {
    const known = [...(io.parentNamespacesFromRegExp ?? [])]
    return known.find(([pattern]) => String(pattern) === String(name))?.[1]
  }
  if (typeof name !== 'function') return undefined
  return [...io.parentNsps].find(([decide]) => readsAlike(decide, name))?.[1]
}

/** Whether two functions are the same, or made from the same text. */
function readsAlike(left, right) {
  if (left === right) return true
  if (typeof left !== 'function' || typeof right !== 'function') return false
  const text = String(left)
  return text === String(right) && !text.includes('[native code]')
}

module.exports = { readsAlike, replaceRepeats }
