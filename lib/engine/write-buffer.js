'use strict'

const { unsupported } = require('../errors')

/** An entry: the messages themselves are in native memory. */
const WAITING = Object.freeze({ type: 'message' })

/**
 * engine.io's `writeBuffer`: an array with as many entries as messages wait. Messages can be added; those
 * that wait are in native memory and cannot be taken back.
 */
class WriteBuffer extends Array {
  #socket

  /** `map()` and the like make plain arrays. */
  static get [Symbol.species]() {
    return Array
  }

  static of(socket, length) {
    const buffer = new WriteBuffer()
    buffer.#socket = socket
    for (let index = 0; index < length; index++) buffer[index] = WAITING
    return Object.freeze(buffer)
  }

  /** Sends messages. @returns {number} how many messages wait then */
  push(...packets) {
    for (const { type, data, options } of packets) {
      if (type !== 'message') throw unsupported(`a packet of the type ${type}`, NATIVE)
      this.#socket.write(data, options)
    }
    return this.#socket.writeBuffer.length
  }
}

const NATIVE = 'packets are queued in native memory'

for (const name of ['copyWithin', 'fill', 'pop', 'reverse', 'shift', 'sort', 'splice', 'unshift']) {
  Object.defineProperty(WriteBuffer.prototype, name, {
    value: function refuse() {
      throw unsupported(`writeBuffer.${name}()`, NATIVE)
    },
  })
}

module.exports = { WriteBuffer }
