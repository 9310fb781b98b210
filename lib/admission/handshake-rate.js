'use strict'

/** Addresses that are remembered at most. */
const MAX_ADDRESSES = 100_000

/** Seconds of handshakes that may come at once. */
const BURST = 2

/** How many handshakes each address may begin in a second: a bucket of tokens for each. */
class HandshakeRate {
  #rate
  /** By address, the least recently used first. @type {Map<string, { tokens: number, at: number }>} */
  #buckets = new Map()

  constructor(rate) {
    this.#rate = rate
  }

  /** The addresses that are remembered. */
  get size() {
    return this.#buckets.size
  }

  /** Counts a handshake, or gives the limit that it meets. */
  meets(address, now = performance.now() / 1000) {
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

  /** Forgets a bucket or two that are full again, and the oldest one when there are too many. */
  #forget(now) {
    let count = 0
    for (const [address, { at }] of this.#buckets) {
      const isFull = now - at >= BURST
      if (count === 2 || (!isFull && this.#buckets.size < MAX_ADDRESSES)) return
      this.#buckets.delete(address)
      count++
    }
  }
}

module.exports = { HandshakeRate }
