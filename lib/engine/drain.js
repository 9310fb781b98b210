'use strict'

/** Milliseconds between two checks of how many sessions are due. */
const INTERVAL = 20
/** How many sessions are closed at a time, so that the event loop keeps turning. */
const MAX_AT_ONCE = 1000
/** Without a rate, the last session is closed after this part of the deadline: it needs time to answer. */
const SPREAD = 0.8

/** One call of `engine.drain()`. */
class Drain {
  #engine
  #deadline
  /** Sessions that are closed per second. */
  #rate
  #startedAt = performance.now()
  /** Sessions that are still to be closed. @type {import('./engine-socket').EngineSocket[]} */
  #waiting
  /** Sessions that were asked to close. */
  #asked = new Set()
  /** How many sessions the engine had at the call. */
  #total
  /** How many of these have closed. */
  #closed = 0
  /** How many sessions were closed by their clients. */
  #left = 0
  #timers = []
  #resolve
  #isOver = false

  /** @param {{ deadline: number, rate?: number }} options */
  constructor(engine, { deadline, rate }) {
    this.#engine = engine
    this.#deadline = deadline
    this.#waiting = Object.values(engine.clients)
    this.#total = this.#waiting.length
    this.#rate = rate ?? (this.#total * 1000) / (Math.max(deadline, 1) * SPREAD)
    /** Resolves with the counts when the engine is closed. */
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  start() {
    if (this.#engine._isClosed) return this.end()
    if (this.#total === 0) return this.#engine.close()
    this.#timers = [
      setInterval(() => this.#closeDue(), INTERVAL),
      setTimeout(() => this.#engine.close(), this.#deadline),
    ]
  }

  /** Closes the sessions that are due by now. */
  #closeDue() {
    const due = ((performance.now() - this.#startedAt) * this.#rate) / 1000
    const max = this.#asked.size + MAX_AT_ONCE
    while (this.#asked.size < due && this.#asked.size < max) {
      const session = this.#waiting.pop()
      if (session === undefined) return
      if (session._closeDrained()) this.#asked.add(session)
    }
  }

  onSessionClosed(session) {
    if (this.#isOver) return
    if (this.#asked.has(session)) this.#closed++
    else this.#left++
    // The session's listeners run before the engine closes.
    if (this.#closed + this.#left === this.#total) setImmediate(() => this.#engine.close())
  }

  /** The engine closes, and with it all sessions that are left. */
  end() {
    if (this.#isOver) return
    this.#isOver = true
    for (const timer of this.#timers) clearTimeout(timer)
    const [closed, left] = [this.#closed, this.#left]
    // Resolves after the last events of the sessions.
    setImmediate(this.#resolve, { closed, left, forced: this.#total - closed - left })
    this.#waiting = []
    this.#asked.clear()
  }
}

module.exports = { Drain }
