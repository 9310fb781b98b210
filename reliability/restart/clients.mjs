// Official clients that retry: each message has an id and is sent again until it is acknowledged.

import { once } from 'node:events'
import { io as connect } from 'socket.io-client'

/** Clients never give up, so that a lost message shows as unacknowledged. */
const RETRIES = 10_000
const ACK_TIMEOUT = 2_000

export class RetryingClient {
  sent = 0
  connects = 0
  /** Ids in the order of their acknowledgements. */
  acknowledged = []
  /** The number of the server's next message: to all clients, and to this client alone. */
  news = null
  own = 0
  unrecovered = 0
  #name
  #complain
  #timer

  constructor(name, port, transports, complain) {
    this.#name = name
    this.#complain = complain
    this.socket = connect(`http://127.0.0.1:${port}`, {
      transports,
      forceNew: true,
      retries: RETRIES,
      ackTimeout: ACK_TIMEOUT,
      extraHeaders: { 'x-client': name },
      reconnectionDelay: 300,
      reconnectionDelayMax: 1_000,
    })
    this.socket.on('connect', () => {
      if (this.connects++ > 0 && !this.socket.recovered) this.unrecovered++
    })
  }

  /** Follows the server's messages: with recovery none is missing and none is repeated. */
  follow() {
    this.socket.on('hello', (next) => (this.news ??= next))
    this.socket.on('news', (number) => {
      if (number !== this.news) this.#complain(`${this.#name}: news ${number} for ${this.news}`)
      this.news = number + 1
    })
    this.socket.on('own', (number) => {
      if (number !== this.own) this.#complain(`${this.#name}: own ${number} for ${this.own}`)
      this.own = number + 1
    })
  }

  async connected() {
    if (!this.socket.connected) await once(this.socket, 'connect')
  }

  /** Sends at a steady pace, whether connected or not. */
  start(interval) {
    this.#timer = setInterval(() => {
      const id = `${this.#name}/${this.sent++}`
      this.socket.emit('save', id, (error, saved) => {
        if (error) return this.#complain(`${id} was given up: ${error.message}`)
        if (saved !== id) this.#complain(`${saved} was acknowledged for ${id}`)
        this.acknowledged.push(id)
      })
    }, interval)
  }

  /** Stops sending. */
  stop() {
    clearInterval(this.#timer)
  }

  get isSettled() {
    return this.socket.connected && this.acknowledged.length === this.sent
  }

  close() {
    this.socket.disconnect()
  }
}
