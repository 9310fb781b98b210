'use strict'

/** Milliseconds between two looks at how many sessions are due. */
const INTERVAL = 20
/** Sessions that are told in one look, so that the loop goes on turning. */
const MAX_AT_ONCE = 1000
/** Without a rate the last session is told at this part of the deadline: it needs time to answer. */
const SPREAD = 0.8

/** One call of `engine.drain()`. */
class Drain {
  #engine
  #deadline
  #rate
  #startedAt = performance.now()
  /** Sessions that have not been told to leave. @type {import('./engine-socket').EngineSocket[]} */
  #waiting
  /** Those that have. */
  #told = new Set()
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
      setInterval(() => this.#tell(), INTERVAL),
      setTimeout(() => this.#engine.close(), this.#deadline),
    ]
  }

  /** Tells as many sessions to leave as are due by now. */
  #tell() {
    const due = ((performance.now() - this.#startedAt) * this.#rate) / 1000
    const most = this.#told.size + MAX_AT_ONCE
    while (this.#told.size < due && this.#told.size < most) {
      const session = this.#waiting.pop()
      if (session === undefined) return
      if (session._leave()) this.#told.add(session)
    }
  }

  /** A session is over. */
  count(session) {
    if (this.isOver) return
    if (this.#told.has(session)) this.#closed++
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
    this.#told.clear()
  }
}

module.exports = { Drain }
