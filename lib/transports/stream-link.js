'use strict'

const native = require('../bridge/binding')
const { KIND, nextStream, streams } = require('../bridge/events')
const staging = require('../bridge/commands')

/**
 * Carries a WebSocket's bytes over a JavaScript stream: TLS, a Duplex without descriptor, or a
 * platform where none can be taken. The session is the same native one.
 */
class StreamLink {
  #stream
  #slot

  constructor(stream) {
    this.number = nextStream() >>> 0
    this.#stream = stream
  }

  /** Starts to carry bytes, for a session. */
  start({ _slot: slot, _generation: generation }) {
    this.#slot = slot
    const stream = this.#stream
    streams.set(this.number | 0, this)
    stream.on('data', (chunk) => {
      // The event that asks for a pause waits behind what JavaScript has not taken.
      if (native.streamReceived(slot, generation, this.number, chunk)) stream.pause()
      staging.stage()
    })
    stream.on('end', () => this.#lost(false))
    stream.on('error', () => this.#lost(true))
    stream.on('close', () => this.#lost(false))
    stream.resume()
  }

  #lost(failed) {
    if (!streams.delete(this.number | 0)) return
    native.streamLost(this.#slot, this.number, failed)
    staging.stage()
    this.#stream.destroy()
  }

  /** What the I/O thread wants of the stream. */
  onEvent(kind, value) {
    const stream = this.#stream
    switch (kind) {
      case KIND.STREAM_WRITE:
        stream.write(Buffer.from(value), () => {
          if (!streams.has(this.number | 0)) return
          native.streamSent(this.#slot, this.number, value.byteLength)
          staging.stage()
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
