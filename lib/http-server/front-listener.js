'use strict'

const { EventEmitter } = require('node:events')

const { on, rawListeners, removeListener } = EventEmitter.prototype

/**
 * A listener on an HTTP server that can keep an event from the listeners behind it. It stands where
 * engine.io's own listener stands: listeners that the app prepends later run before it, and all others
 * behind it. A real listener, unlike a replaced `emit`, is also reached through a copy of `emit` that was
 * bound earlier, and runs inside the `emit` that instrumentation has patched on the prototype.
 *
 * Nothing stops an event between two listeners, so each listener behind this one is replaced by a guard,
 * which leaves out the events that this one has taken. A guard names its listener as a `once` wrapper does:
 * `off(listener)` and `listeners()` work as if there were no guard.
 */
class FrontListener {
  #server
  #event
  #listener
  #isHidden
  /** The subjects of the events that the listener has taken: requests. */
  #taken = new WeakSet()
  /** @type {WeakSet<Function>} */
  #guards = new WeakSet()
  #isDirty = true
  /** Whether the listeners are being rearranged, which is no news to the app. */
  #isArranging = false
  /** Whether a listener runs before this one. */
  hasPredecessors = false
  /** The app's listeners behind this one. @type {Function[]} */
  followers = []

  /** Whether the app has listeners of its own for the event. */
  get hasOthers() {
    return this.hasPredecessors || this.followers.length > 0
  }

  /**
   * @param {import('node:http').Server} server
   * @param {string} event
   * @param {(subject: object, peer: object, head?: Buffer) => boolean} take handles an event; after `false`,
   *   the listeners behind get it
   * @param {{ isHidden?: boolean }} [options] `isHidden`: the app does not see the listener
   */
  constructor(server, event, take, { isHidden = false } = {}) {
    this.#server = server
    this.#event = event
    this.#isHidden = isHidden
    this.#listener = (subject, peer, head) => {
      // The same subject may come again: an early claim replays what it has held.
      if (take(subject, peer, head)) this.#taken.add(subject)
      else this.#taken.delete(subject)
    }
    if (isHidden) this.#hideFromLists()
  }

  /** Puts the listeners in order, if any were added or removed. */
  arrange() {
    if (!this.#isDirty) return
    this.#isDirty = false
    this.#isArranging = true
    try {
      this.#watch()
      this.#order()
    } finally {
      this.#isArranging = false
    }
  }

  /** Whether the server is about to report a listener that is only being rearranged. */
  hides(type, event) {
    return this.#isArranging && this.#isHidden && event === this.#event && CHANGES.includes(type)
  }

  #order() {
    const present = rawListeners.call(this.#server, this.#event)
    const place = present.indexOf(this.#listener)
    const behind = present.slice(place + 1)
    const unguarded = behind.findIndex((each) => !this.#guards.has(each))
    if (place < 0 || unguarded >= 0) {
      // From the first change on, the listeners are added again, because there is no other way to insert.
      const moved = place < 0 ? behind : behind.slice(unguarded)
      for (const each of moved.toReversed()) this.#remove(each)
      if (place < 0) this.#add(this.#listener)
      for (const each of moved) this.#add(this.#guards.has(each) ? each : this.#guard(each))
    }
    this.hasPredecessors = place > 0
    this.followers = behind.map((each) => each.listener ?? each)
  }

  #add(listener) {
    on.call(this.#server, this.#event, listener)
  }

  #remove(listener) {
    removeListener.call(this.#server, this.#event, listener)
  }

  #guard(raw) {
    const front = this
    // The wrapper of `once` would remove itself, but it is not in the list any more.
    const isOnce = raw.name === 'bound onceWrapper' && raw.listener !== undefined
    const listener = isOnce ? raw.listener : raw
    function upwireGuard(...args) {
      if (front.#taken.has(args[0])) return undefined
      if (isOnce) front.#remove(upwireGuard)
      return Reflect.apply(listener, this, args)
    }
    upwireGuard.listener = raw.listener ?? raw
    this.#guards.add(upwireGuard)
    return upwireGuard
  }

  /** Notices added and removed listeners, also after the app has removed all listeners of the server. */
  #watch() {
    for (const change of CHANGES) {
      if (!rawListeners.call(this.#server, change).includes(this.#onChange)) {
        on.call(this.#server, change, this.#onChange)
      }
    }
  }

  #onChange = (event) => {
    const isOurs = event === this.#event || CHANGES.includes(event)
    if (!isOurs || this.#isArranging || this.#isDirty) return
    this.#isDirty = true
    // The event comes before a listener is added. No connection is read until the tick is over.
    process.nextTick(() => this.arrange())
  }

  #hideFromLists() {
    for (const name of ['listeners', 'rawListeners']) {
      const list = this.#server[name]
      const front = this
      this.#server[name] = function upwireListeners(event) {
        const found = Reflect.apply(list, this, arguments)
        return event === front.#event ? found.filter((each) => each !== front.#listener) : found
      }
    }
  }
}

/** What an emitter emits about its listeners. */
const CHANGES = ['newListener', 'removeListener']

module.exports = { FrontListener }
