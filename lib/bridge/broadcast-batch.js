'use strict'

const { toBytes } = require('./message-data')

/**
 * Joins the writes of one broadcast. socket.io writes the packets of a broadcast (a header and its
 * attachments) to one receiver after another, with the same options object. Here each packet becomes
 * one native call with a list of receivers. Each receiver still gets its packets in order, because the
 * packets are staged in order.
 */
class Broadcast {
  #stage
  #options
  /** The engine of the first receiver. */
  #engine
  /** The packets that were written to the first receiver. */
  #packets = []
  /** What is sent: copies of them, as the app may change its bytes afterwards. */
  #copies = []
  /** Slot and generation of each receiver. */
  #pairs = new Int32Array(64)
  #count = 0
  /** The receiver that is being written to. */
  #socket
  /** How many of the packets it has got. */
  #position = 0

  constructor(stage) {
    this.#stage = stage
  }

  /** Adds a packet for a receiver. */
  add(socket, data, options) {
    if (options === this.#options && this.#continues(socket, data)) return
    this.flush()
    this.#options = options
    this.#engine = socket.server
    this.#push(data)
    this.#begin(socket)
  }

  #push(data) {
    this.#packets.push(data)
    const bytes = typeof data === 'string' ? undefined : toBytes(data)
    this.#copies.push(bytes === undefined ? data : new Uint8Array(bytes))
  }

  #continues(socket, data) {
    if (socket === this.#socket) {
      if (this.#position < this.#packets.length) {
        if (data !== this.#packets[this.#position]) return false
      } else if (this.#count === 1) {
        this.#push(data)
      } else {
        return false
      }
      this.#position++
      return true
    }
    if (this.#position !== this.#packets.length || data !== this.#packets[0]) return false
    this.#begin(socket)
    return true
  }

  #begin(socket) {
    if (this.#count * 2 === this.#pairs.length) this.#grow()
    this.#pairs[this.#count * 2] = socket._slot
    this.#pairs[this.#count * 2 + 1] = socket._generation
    this.#count++
    this.#socket = socket
    this.#position = 1
  }

  #grow() {
    const pairs = new Int32Array(this.#pairs.length * 2)
    pairs.set(this.#pairs)
    this.#pairs = pairs
  }

  /** Stages the broadcast. Must be called before anything else is staged. */
  flush() {
    if (this.#count === 0) return
    this.#copies.forEach((data, index) => {
      // The last receiver may not have got all packets.
      const count = index < this.#position ? this.#count : this.#count - 1
      if (count > 0) this.#stage(this.#pairs, count, data, this.#options, this.#engine)
    })
    this.#packets = []
    this.#copies = []
    this.#count = 0
    this.#options = undefined
    this.#engine = undefined
    this.#socket = undefined
  }
}

module.exports = { Broadcast }
