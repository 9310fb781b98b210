'use strict'

/** @import { Message } from '../shared/events' */

const { limits } = require('../shared/settings.json')

/** The recent messages of one room, bounded in number and, because of the images, in bytes. */
class History {
  /** @type {Message[]} */
  #messages = []
  #bytes = 0
  #lastTime = 0

  /** @returns {readonly Message[]} */
  get messages() {
    return this.#messages
  }

  /** @param {string} id */
  find(id) {
    return this.#messages.find((message) => message.id === id)
  }

  /** Stamps the message with its time, which is also its place: two never have the same.
   *  @param {Omit<Message, 'at'>} draft @returns {Message} */
  add(draft) {
    this.#lastTime = Math.max(Date.now(), this.#lastTime + 1)
    const message = { ...draft, at: this.#lastTime }
    this.#messages.push(message)
    this.#bytes += size(message)
    while (this.#messages.length > limits.historyLength || this.#bytes > limits.historyBytes) {
      this.#bytes -= size(/** @type {Message} */ (this.#messages.shift()))
    }
    return message
  }
}

/** @param {Message} message */
function size({ body }) {
  return body.type === 'image' ? body.data.byteLength : body.text.length
}

module.exports = { History }
