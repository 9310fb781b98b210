// One side of a connection: it numbers the messages it sends and checks those it receives. Both
// sides use the same code, since the official client and upwire's socket have the same interface.

import { Receiver, Sender, asBuffer, decode, encode } from './messages.mjs'

/** The code that both kinds share. */
class Peer {
  ended = false
  #complain

  constructor(random, pool, complain) {
    this.random = random
    this.sender = new Sender(random, pool)
    this.receiver = new Receiver()
    this.#complain = complain
  }

  complain(text) {
    this.#complain(text)
  }

  receive(message) {
    if (this.ended) this.complain(`number ${message.number} came after the end`)
    const complaint = this.receiver.check(message)
    if (complaint !== null) this.complain(complaint)
  }

  end() {
    if (this.ended) this.complain('ended twice')
    this.ended = true
    this.onEnd?.()
  }

  /**
   * Compares the other side's counters, taken at a point in the order of messages: nothing may be
   * missing.
   */
  compare({ sent, received }, own) {
    if (this.ended) return
    if (received !== own) this.complain(`the other side has ${received} of ${own} messages`)
    if (sent !== this.receiver.received) {
      this.complain(`${this.receiver.received} of ${sent} messages of the other side are here`)
    }
  }

  get counters() {
    return { sent: this.sender.sent, received: this.receiver.received }
  }
}

/** A peer on an Engine.IO socket. */
export class EnginePeer extends Peer {
  #syncs = []

  constructor(socket, random, pool, complain, onBytes) {
    super(random, pool, complain)
    this.socket = socket
    socket.on('message', (data) => this.#message(data, onBytes))
    socket.on('close', () => this.end())
  }

  send() {
    this.socket.send(encode(this.sender.next()))
  }

  /** Resolves once the other side has compared its counters with this side's. */
  sync() {
    return new Promise((resolve) => {
      this.#syncs.push({ sent: this.sender.sent, resolve })
      this.socket.send('?')
    })
  }

  #message(data, onBytes) {
    if (data === '?') {
      this.socket.send(`!${JSON.stringify(this.counters)}`)
    } else if (typeof data === 'string' && data.startsWith('!')) {
      const { sent, resolve } = this.#syncs.shift()
      this.compare(JSON.parse(data.slice(1)), sent)
      resolve()
    } else {
      this.receive(decode(data))
      if (typeof data !== 'string') onBytes?.(asBuffer(data))
    }
  }
}

/** A peer on a Socket.IO socket, with acknowledgements and broadcasts. */
export class SocketPeer extends Peer {
  /** The numbers of messages that still await their acknowledgement. */
  #due = []
  news = null

  constructor(socket, random, pool, complain, onBytes) {
    super(random, pool, complain)
    this.socket = socket
    socket.on('m', (number, sum, payload, reply) => {
      this.receive({ number, sum, payload: normal(payload) })
      reply?.(number)
      if (typeof payload !== 'string') onBytes?.(asBuffer(payload))
    })
    socket.on('?', (reply) => reply({ ...this.counters, news: this.nextNews?.() ?? null }))
    socket.on('disconnect', () => this.end())
  }

  send() {
    const { number, sum, payload } = this.sender.next()
    if (!this.random.chance(0.2)) {
      this.socket.emit('m', number, sum, payload)
      return
    }
    this.#due.push(number)
    this.socket.emit('m', number, sum, payload, (reply) => {
      const due = this.#due.shift()
      if (reply !== due) this.complain(`the answer of ${reply} came where that of ${due} was due`)
    })
  }

  sync() {
    const { sent } = this.sender
    const due = this.#due.at(-1)
    return new Promise((resolve) => {
      this.socket.emit('?', (counters) => {
        this.compare(counters, sent)
        if (due !== undefined && this.#due[0] <= due) this.complain(`${due} was not answered`)
        if (counters.news !== null && counters.news !== this.news) {
          this.complain(`broadcast ${counters.news} is next, ${this.news} here`)
        }
        resolve()
      })
    })
  }

  /** Checks the broadcasts of a server. */
  followNews() {
    const receiver = new Receiver()
    this.socket.on('hello', (next) => (this.news = receiver.received = next))
    this.socket.on('news', (number, sum, payload) => {
      if (this.news === null) return this.complain(`broadcast ${number} came before the greeting`)
      const complaint = receiver.check({ number, sum, payload: normal(payload) })
      if (complaint !== null) this.complain(`broadcast: ${complaint}`)
      this.news = receiver.received
    })
  }
}

function normal(payload) {
  return typeof payload === 'string' ? payload : asBuffer(payload)
}
