'use strict'

/** Events of one name that are emitted in a second; the rest is only counted. */
const EVENTS_A_SECOND = 10

/** How often each limit was met. */
class LimitCounters {
  #totals = new Map()
  #second = 0
  #recent = new Map()

  /** Counts, and returns whether to emit an event. */
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
    return recent <= EVENTS_A_SECOND
  }

  /** Name and action to count. */
  totals() {
    return Object.fromEntries(this.#totals)
  }
}

module.exports = { LimitCounters }
