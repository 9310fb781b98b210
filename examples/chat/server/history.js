'use strict'

/** @import { Message } from '../shared/events' */

const { limits } = require('../shared/settings.json')

/** The recent messages of one room. Their number is limited, and because of the images also their size. */
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

  /** Sets the time of the message. It also orders the messages, so no two have the same time.
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
