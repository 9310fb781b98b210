'use strict'

const { GrowingBuffer } = require('./growing-buffer')
const { ERRORS, refusal, tooMany } = require('../admission/refusal')

/** Bytes that a peer may send ahead of its answer. RFC 6455 4.1 allows none. */
const MAX_EARLY = 64 * 1024
/** Memory for those of all peers. */
const MAX_TOTAL = 16 * 1024 * 1024

/** Memory of all early bytes of this thread. */
let total = 0

/**
 * Reads what a peer sends before its upgrade has been decided: only a socket that is read notices that
 * the peer leaves. So too many bytes are no reason to pause; they end the wait.
 */
class EarlyBytes {
  #socket
  #onExcess
  #bytes = new GrowingBuffer(MAX_EARLY)
  #counted = 0

  constructor(socket) {
    this.#socket = socket
  }

  /** Memory of all early bytes of this thread. */
  static get total() {
    return total
  }

  /**
   * Starts to read.
   * @param {Buffer} head what came with the request
   * @param {(reason: import('../admission/refusal').Refusal, met: object) => void} onExcess is called once, when
   *   more bytes have come than may wait
   */
  start(head, onExcess) {
    this.#onExcess = onExcess
    this.#socket.on('readable', this.#onReadable)
    this.#socket.on('end', this.#onEnd)
    this.#socket.on('close', this.#forget)
    // A copy: `head` is a view of all that came with the request.
    if (head.length > 0) this.#add(Buffer.from(head))
  }

  #onReadable = () => {
    for (let chunk = this.#socket.read(); chunk !== null; chunk = this.#socket.read()) {
      this.#add(chunk)
    }
  }

  #add(chunk) {
    if (this.#onExcess === undefined) return
    const length = this.#bytes.length + chunk.length
    if (length > MAX_EARLY) {
      const reason = refusal(ERRORS.BAD_REQUEST, { name: 'EARLY_BYTES' })
      return this.#exceed(reason, { name: 'earlyBytes', limit: MAX_EARLY, value: length })
    }
    this.#bytes.add(chunk)
    this.#count(this.#bytes.capacity)
    if (total <= MAX_TOTAL) return
    this.#exceed(tooMany(), { name: 'totalEarlyBytes', limit: MAX_TOTAL, value: total })
  }

  /** Keeps nothing from here on; goes on reading. */
  #exceed(reason, met) {
    const onExcess = this.#onExcess
    this.#onExcess = undefined
    this.#forget()
    onExcess(reason, met)
  }

  #onEnd = () => {
    // Earlier responses are flushed, as Node does it.
    if (this.#socket._httpMessage) this.#socket.end()
    else this.#socket.destroy()
  }

  #forget = () => {
    this.#bytes = new GrowingBuffer(MAX_EARLY)
    this.#count(0)
  }

  #count(memory) {
    total += memory - this.#counted
    this.#counted = memory
  }

  /** Stops reading and gives what has come; nothing, the second time. */
  take() {
    this.#socket.removeListener('readable', this.#onReadable)
    this.#socket.removeListener('end', this.#onEnd)
    this.#socket.removeListener('close', this.#forget)
    const { bytes } = this.#bytes
    this.#forget()
    return bytes
  }
}

module.exports = { EarlyBytes }
