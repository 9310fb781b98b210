'use strict'

const native = require('../bridge/binding')
const commands = require('../bridge/commands')
const { KIND } = require('../bridge/contract')
const { nextStream, streams } = require('../bridge/events')

/**
 * Carries a WebSocket's bytes over a JavaScript stream where the native side cannot take a descriptor:
 * over TLS, on a Duplex that has none, and on some platforms. The session is native all the same.
 */
class StreamLink {
  #stream
  #slot

  constructor(stream) {
    this.number = nextStream() >>> 0
    this.#stream = stream
  }

  /** Starts to carry the bytes of a session. */
  start({ _slot: slot, _generation: generation }) {
    this.#slot = slot
    const stream = this.#stream
    streams.set(this.number | 0, this)
    stream.on('data', (chunk) => {
      // Pause now: the `STREAM_PAUSE` event is queued behind undelivered events.
      if (native.streamReceived(slot, generation, this.number, chunk)) stream.pause()
      commands.scheduleFlush()
    })
    stream.on('end', () => this.#onLost(false))
    stream.on('error', () => this.#onLost(true))
    stream.on('close', () => this.#onLost(false))
    stream.resume()
  }

  #onLost(failed) {
    if (!streams.delete(this.number | 0)) return
    native.streamLost(this.#slot, this.number, failed)
    commands.scheduleFlush()
    this.#stream.destroy()
  }

  /** Handles an event from the I/O thread. */
  onEvent(kind, value) {
    const stream = this.#stream
    switch (kind) {
      case KIND.STREAM_WRITE:
        stream.write(Buffer.from(value), () => {
          if (!streams.has(this.number | 0)) return
          native.streamSent(this.#slot, this.number, value.byteLength)
          commands.scheduleFlush()
        })
        return
      case KIND.STREAM_END:
        stream.end()
        return
      case KIND.STREAM_RESET:
        streams.delete(this.number | 0)
        stream.destroy()
        return
      case KIND.STREAM_PAUSE:
        stream.pause()
        return
      case KIND.STREAM_RESUME:
        stream.resume()
    }
  }
}

module.exports = { StreamLink }
