// The clients: official Socket.IO clients, and a bare upgrade.

import { once } from 'node:events'
import { connect } from 'node:net'
import { io } from 'socket.io-client'
import { within } from './process.mjs'

const PATIENCE = 8_000

/** The clients of a cell, which closes them all at its end. */
export class Clients {
  #all = new Set()

  constructor(url, options) {
    this.url = url
    this.options = options
  }

  /** Opens a client with a user's options, without waiting for it. */
  open(options = {}) {
    const socket = io(this.url, { ...this.options, forceNew: true, ...options })
    this.#all.add(socket)
    return socket
  }

  /** Opens a client that tries once, and waits until it is connected. */
  async connect(options = {}) {
    const socket = this.open({ reconnection: false, timeout: PATIENCE, ...options })
    await connected(socket, PATIENCE + 1000)
    return socket
  }

  close(socket) {
    socket.close()
    this.#all.delete(socket)
  }

  closeAll() {
    for (const socket of this.#all) this.close(socket)
  }
}

/** Waits until a client is connected. For a client that tries once, a failure rejects. */
export async function connected(socket, timeout) {
  if (socket.connected) return
  let onError
  const failed = new Promise((_, reject) => {
    onError = (error) => {
      const { description } = error
      const detail = description?.message ?? description
      if (!socket.io.reconnection()) reject(new Error(`${error.message} ${detail ?? ''}`.trim()))
    }
    socket.on('connect_error', onError)
  })
  try {
    await within(timeout, Promise.race([once(socket, 'connect'), failed]), 'not connected')
  } finally {
    socket.off('connect_error', onError)
  }
}

/** Sends a message, and checks that it comes back. */
export async function echo(socket) {
  const sent = `Grüße ${Math.random()}`
  const received = await socket.timeout(PATIENCE).emitWithAck('echo', sent)
  if (received !== sent) throw new Error(`echo of something else: ${received}`)
}

/** Collects the values of an event that `accept` accepts; `first()` waits for the first one. */
export function heard(socket, event, accept) {
  const all = []
  const first = new Promise((resolve) => {
    socket.on(event, (value) => {
      if (!accept(value)) return
      all.push(value)
      resolve(value)
    })
  })
  return { all, first: () => within(PATIENCE, first, `no '${event}'`) }
}

/** A request to upgrade, as bytes on a socket: a WebSocket client would hide the server's reaction. */
export class Upgrade {
  received = ''
  #watchers = new Set()

  constructor(port, path) {
    this.socket = connect({ port, host: 'localhost' })
    this.socket.setEncoding('latin1')
    this.socket.on('error', () => {})
    this.socket.on('data', (text) => {
      this.received += text
      for (const watch of this.#watchers) watch()
    })
    this.closed = new Promise((resolve) => {
      // The server has ended the connection, or it is closed.
      this.socket.once('end', resolve)
      this.socket.once('close', resolve)
    })
    const head = [
      `GET ${path} HTTP/1.1`,
      `Host: localhost:${port}`,
      `Origin: http://localhost:${port}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]
    this.socket.write(`${head.join('\r\n')}\r\n\r\n`)
  }

  /** The status line without the protocol; empty if the connection was closed without an answer. */
  async status(timeout, complaint) {
    await within(timeout, Promise.race([this.#has('\r\n'), this.closed]), complaint)
    return this.received.split('\r\n')[0].replace('HTTP/1.1 ', '')
  }

  /** Sends a ping and waits for its pong. */
  async ping(timeout) {
    this.received = ''
    // A mask of zeros does not change the text.
    this.socket.write(Buffer.concat([Buffer.from([0x89, 0x86, 0, 0, 0, 0]), Buffer.from('upwire')]))
    const gone = this.closed.then(() => {
      throw new Error('closed')
    })
    await within(timeout, Promise.race([this.#has('\x8a\x06upwire'), gone]), 'no pong')
  }

  #has(text) {
    return new Promise((resolve) => {
      const watch = () => this.received.includes(text) && resolve()
      this.#watchers.add(watch)
      watch()
    })
  }

  close() {
    this.socket.destroy()
  }
}
