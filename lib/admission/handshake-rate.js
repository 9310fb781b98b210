'use strict'

/** How many addresses are remembered. */
const MAX_ADDRESSES = 100_000

/** An address may begin as many handshakes at once as the rate allows in this many seconds. */
const BURST = 2

/** Limits how many handshakes each address begins in a second: one token bucket per address. */
class HandshakeRate {
  #rate
  /** By address, the least recently used first. @type {Map<string, { tokens: number, at: number }>} */
  #buckets = new Map()

  constructor(rate) {
    this.#rate = rate
  }

  /** How many addresses are remembered. */
  get size() {
    return this.#buckets.size
  }

  /** Counts a handshake. Returns the limit when the handshake exceeds it. */
  count(address, now = performance.now() / 1000) {
    const full = this.#rate * BURST
    const { tokens, at } = this.#buckets.get(address) ?? { tokens: full, at: now }
    const filled = Math.min(full, tokens + (now - at) * this.#rate)
    this.#buckets.delete(address)
    this.#forget(now)
    const isOver = filled < 1
    this.#buckets.set(address, { tokens: isOver ? filled : filled - 1, at: now })
    if (!isOver) return undefined
    return { name: 'maxHandshakeRate', limit: this.#rate, value: this.#rate }
  }

  /** Forgets up to two buckets that are full again; the oldest one also when there are too many. */
  #forget(now) {
    let forgotten = 0
    for (const [address, { at }] of this.#buckets) {
      const isFull = now - at >= BURST
      if (forgotten === 2 || (!isFull && this.#buckets.size < MAX_ADDRESSES)) return
      this.#buckets.delete(address)
      forgotten++
    }
  }
}

module.exports = { HandshakeRate }
