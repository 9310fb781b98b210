'use strict'

/** What a peer may send ahead while the app thinks; more waits in the kernel. */
const MAX_EARLY = 64 * 1024

/**
 * Reads what a peer sends before its upgrade has been decided: only a socket that is read tells
 * that the peer has left.
 */
class EarlyBytes {
  #socket
  #chunks
  #length = 0

  constructor(socket, head) {
    this.#socket = socket
    this.#chunks = [head]
    socket.on('readable', this.#onReadable)
    socket.on('end', this.#onEnd)
  }

  #onReadable = () => {
    for (let chunk = this.#socket.read(); chunk !== null; chunk = this.#socket.read()) {
      this.#chunks.push(chunk)
      this.#length += chunk.length
    }
    if (this.#length > MAX_EARLY) this.#socket.removeListener('readable', this.#onReadable)
  }

  #onEnd = () => {
    this.#socket.destroy()
  }

  /** Stops reading and gives what has come. */
  take() {
    this.#socket.removeListener('readable', this.#onReadable)
    this.#socket.removeListener('end', this.#onEnd)
    return Buffer.concat(this.#chunks)
  }
}

module.exports = { EarlyBytes }
