'use strict'

// A route may call attach() and add its listeners at every request, but each listener must still be called
// once per event. So after a repeated call of attach(), a new listener replaces an earlier one that has the
// same source.

const { isRegExp } = require('node:util').types
const { middlewares, namespaces, remove } = require('./setup')

/** The handlers that each namespace, and the engine, had at the last call of attach(). */
const earlier = new WeakMap()

/** From now on, handlers that are added again replace those that the server has now. */
function replaceRepeatedHandlers(io) {
  if (!earlier.has(io.engine)) reuseDynamicNamespaces(io)
  for (const emitter of [...namespaces(io), io.engine]) {
    if (!earlier.has(emitter)) wrapAdding(emitter)
    earlier.set(emitter, handlersOf(emitter))
  }
}

function handlersOf(emitter) {
  const listeners = emitter
    .eventNames()
    .flatMap((event) => emitter.listeners(event).map((handler) => ({ event, handler })))
  return [...listeners, ...middlewares(emitter).map((handler) => ({ event: undefined, handler }))]
}

function wrapAdding(emitter) {
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
    // Middlewares run in the order of the list, so the new one takes the place of the old one.
    if (place >= 0) list.splice(place, 1, list.pop())
    return result
  }
}

/** Finds an earlier handler with the same source as this one. Each is found once. */
function takeRepeated(emitter, event, handler) {
  const handlers = earlier.get(emitter)
  const candidates = handlers.filter((each) => each.event === event)
  const found =
    candidates.find((each) => each.handler === handler) ??
    candidates.find((each) => haveSameSource(each.handler, handler))
  if (found !== undefined) handlers.splice(handlers.indexOf(found), 1)
  return found?.handler
}

/** `io.of()` makes a new parent namespace for each RegExp, also for one with the same source. */
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

/** Whether two functions are the same one, or have the same source text. */
function haveSameSource(left, right) {
  if (left === right) return true
  if (typeof left !== 'function' || typeof right !== 'function') return false
  const text = String(left)
  return text === String(right) && !text.includes('[native code]')
}

module.exports = { haveSameSource, replaceRepeatedHandlers }
