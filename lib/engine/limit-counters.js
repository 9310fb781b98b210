'use strict'

/** How many events are emitted per second for each limit; the others are only counted. */
const MAX_EVENTS_PER_SECOND = 10

/** Counts how often each limit was met. */
class LimitCounters {
  /** By limit and action. */
  #totals = new Map()
  /** The second that `#recent` counts, by limit. */
  #second = 0
  #recent = new Map()

  /** Returns whether to emit an event. */
  count(name, action, times = 1) {
    const key = `${name} ${action}`
    this.#totals.set(key, (this.#totals.get(key) ?? 0) + times)
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#recent.clear()
    }
    const recent = (this.#recent.get(name) ?? 0) + 1
    this.#recent.set(name, recent)
    return recent <= MAX_EVENTS_PER_SECOND
  }

  /** The counts, by name and action: `{ "maxSendBuffer closed": 2 }`. */
  totals() {
    return Object.fromEntries(this.#totals)
  }
}

module.exports = { LimitCounters }
