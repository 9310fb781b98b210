'use strict'

/** Milliseconds between two looks at how many sessions are due. */
const INTERVAL = 20
/** Sessions that are asked to leave at one time, so that the loop goes on turning. */
const MAX_AT_ONCE = 1000
/** Without a rate the last session is asked at this part of the deadline: it needs time to answer. */
const SPREAD = 0.8

/** One call of `engine.drain()`. */
class Drain {
  #engine
  #deadline
  #rate
  #startedAt = performance.now()
  /** Sessions that have not been asked to leave. @type {import('./engine-socket').EngineSocket[]} */
  #waiting
  /** Those that have. */
  #asked = new Set()
  #total
  #closed = 0
  #left = 0
  #timers = []
  #resolve
  /** Whether the engine is closed. */
  isOver = false

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
      setInterval(() => this.#ask(), INTERVAL),
      setTimeout(() => this.#engine.close(), this.#deadline),
    ]
  }

  /** Asks as many sessions to leave as are due by now. */
  #ask() {
    const due = ((performance.now() - this.#startedAt) * this.#rate) / 1000
    const most = this.#asked.size + MAX_AT_ONCE
    while (this.#asked.size < due && this.#asked.size < most) {
      const session = this.#waiting.pop()
      if (session === undefined) return
      if (session._leave()) this.#asked.add(session)
    }
  }

  /** A session is over. */
  count(session) {
    if (this.isOver) return
    if (this.#asked.has(session)) this.#closed++
    else this.#left++
    // The session's listeners come before the engine's.
    if (this.#closed + this.#left === this.#total) setImmediate(() => this.#engine.close())
  }

  /** The engine closes: what is left ends now. */
  end() {
    if (this.isOver) return
    this.isOver = true
    for (const timer of this.#timers) clearTimeout(timer)
    const [closed, left] = [this.#closed, this.#left]
    // After the last events of sessions.
    setImmediate(this.#resolve, { closed, left, forced: this.#total - closed - left })
    this.#waiting = []
    this.#asked.clear()
  }
}

module.exports = { Drain }
