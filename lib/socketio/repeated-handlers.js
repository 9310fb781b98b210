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
  const { on, use } = emitter
  emitter.on = emitter.addListener = function upwireOn(event, handler) {
    const repeated = takeRepeated(emitter, event, handler)
    if (repeated !== undefined) remove(emitter, event, repeated)
    return on.call(this, event, handler)
  }
  emitter.use = function upwireUse(handler) {
    const repeated = takeRepeated(emitter, undefined, handler)
    const list = middlewares(emitter)
    const place = list.indexOf(repeated)
    const result = use.call(this, handler)
    // They are run in their order.
    if (place >= 0) list.splice(place, 1, list.pop())
    return result
  }
}

/** The handler of an earlier call that reads like this one, if there is one; each is found once. */
function takeRepeated(emitter, event, handler) {
  const handlers = earlier.get(emitter)
  const candidates = handlers.filter((each) => each.event === event)
  const found =
    candidates.find((each) => each.handler === handler) ??
    candidates.find((each) => readsAlike(each.handler, handler))
  if (found !== undefined) handlers.splice(handlers.indexOf(found), 1)
  return found?.handler
}

/** `io.of()` makes another parent for each expression, also for one that reads alike. */
function reuseDynamicNamespaces(io) {
  const { of } = io
  io.of = function upwireOf(name, listener) {
    const present = isRegExp(name) ? dynamicNamespace(io, name) : undefined
    if (present === undefined) return of.call(this, name, listener)
    if (listener) present.on('connect', listener)
    return present
  }
}

function dynamicNamespace(io, pattern) {
  const known = [...(io.parentNamespacesFromRegExp ?? [])]
  return known.find(([each]) => String(each) === String(pattern))?.[1]
}

/** Whether two functions are the same, or made from the same text. */
function readsAlike(left, right) {
  if (left === right) return true
  if (typeof left !== 'function' || typeof right !== 'function') return false
  const text = String(left)
  return text === String(right) && !text.includes('[native code]')
}

module.exports = { readsAlike, replaceRepeats }
