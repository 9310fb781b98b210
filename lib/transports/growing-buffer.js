'use strict'

const EMPTY = Buffer.alloc(0)

/** Collects pieces in one growing buffer: a list of one-byte pieces would take 170 times the memory. */
class GrowingBuffer {
  #buffer = EMPTY
  /** Whether `#buffer` is this object's own. The first piece is not copied until another one follows. */
  #isOwn = false
  #max
  length = 0

  /** @param {number} max the most bytes that are expected; no more than that is reserved */
  constructor(max) {
    this.#max = max
  }

  add(piece) {
    const needed = this.length + piece.length
    if (this.length === 0) this.#buffer = piece
    else this.#append(piece, needed)
    this.length = needed
  }

  #append(piece, needed) {
    if (!this.#isOwn || needed > this.#buffer.length) {
      const size = Math.max(needed, Math.min(needed * 2, this.#max))
      // Not from the pool: a small buffer would keep the whole slab alive.
      const larger = Buffer.allocUnsafeSlow(size)
      this.#buffer.copy(larger, 0, 0, this.length)
      this.#buffer = larger
      this.#isOwn = true
    }
    piece.copy(this.#buffer, this.length)
  }

  /** How much memory the bytes hold. */
  get capacity() {
    return this.#buffer.buffer.byteLength
  }

  get bytes() {
    return this.#buffer.subarray(0, this.length)
  }
}

module.exports = { GrowingBuffer }
