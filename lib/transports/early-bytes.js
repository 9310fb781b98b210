'use strict'

const { GrowingBuffer } = require('./growing-buffer')
const { ERRORS, refusal, tooMany } = require('../admission/refusal')

/** How many bytes a client may send ahead of its answer. RFC 6455 section 4.1 allows none. */
const MAX_EARLY = 64 * 1024
/** Memory for the early bytes of all clients. */
const MAX_TOTAL = 16 * 1024 * 1024

const NOTHING = Buffer.alloc(0)

/** Memory of all early bytes of this thread. */
let total = 0

/**
 * Reads what a client sends before its upgrade is accepted or refused. The socket is always read, because
 * otherwise Node does not notice that the client leaves. So a client that sends too much is not paused;
 * it is refused.
 */
class EarlyBytes {
  #socket
  /** `exceeded`: more has come than may wait, so what comes is dropped. */
  #state = /** @type {'reading' | 'exceeded' | 'taken'} */ ('reading')
  #onExcess
  #bytes = new GrowingBuffer(MAX_EARLY)
  /** How much of `total` is this object's. */
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
   * @param {Buffer} head what Node has read behind the request
   * @param {(reason: import('../admission/refusal').Refusal, met: object) => void} onExcess called once,
   *   when more bytes have come than may wait
   */
  start(head, onExcess) {
    this.#onExcess = onExcess
    this.#socket.on('readable', this.#onReadable)
    this.#socket.on('end', this.#onEnd)
    this.#socket.on('close', this.#drop)
    // A copy: `head` is a view of all that came with the request.
    if (head.length > 0) this.#add(Buffer.from(head))
  }

  #onReadable = () => {
    for (let chunk = this.#socket.read(); chunk !== null; chunk = this.#socket.read()) {
      this.#add(chunk)
    }
  }

  #add(chunk) {
    if (this.#state !== 'reading') return
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

  #exceed(reason, met) {
    this.#state = 'exceeded'
    this.#drop()
    this.#onExcess(reason, met)
  }

  /** Ends the connection as Node does: earlier responses are flushed first. */
  #onEnd = () => {
    if (this.#socket._httpMessage) this.#socket.end()
    else this.#socket.destroy()
  }

  #drop = () => {
    this.#bytes = new GrowingBuffer(MAX_EARLY)
    this.#count(0)
  }

  #count(memory) {
    total += memory - this.#counted
    this.#counted = memory
  }

  /** Stops reading, and returns what has come. A second call returns nothing. */
  take() {
    if (this.#state === 'taken') return NOTHING
    this.#state = 'taken'
    this.#socket.removeListener('readable', this.#onReadable)
    this.#socket.removeListener('end', this.#onEnd)
    this.#socket.removeListener('close', this.#drop)
    const { bytes } = this.#bytes
    this.#drop()
    return bytes
  }
}

module.exports = { EarlyBytes }
