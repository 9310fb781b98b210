// Official clients that retry: each message has an id, and is sent again until it is acknowledged.

import { once } from 'node:events'
import { io as connect } from 'socket.io-client'

/** No message is given up: what is lost would only be late otherwise. */
const RETRIES = 10_000
const ACK_TIMEOUT = 2_000

export class RetryingClient {
  sent = 0
  connects = 0
  /** Ids in the order in which they were acknowledged. */
  acknowledged = []
  /** Numbers of what the server sends: to everybody, and to this client alone. */
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

  /** Follows what the server sends: with recovery nothing is missing, and nothing comes twice. */
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

  /** Sends at a pace, whether connected or not. */
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

  /** Sends no more. */
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
