// The clients: official Socket.IO clients, and a bare upgrade.

import { once } from 'node:events'
import { connect } from 'node:net'
import { io } from 'socket.io-client'
import { within } from '../support/events.mjs'
import { OP, frame } from '../support/frames.mjs'
import { Peer } from '../support/peer.mjs'
import { upgrade } from '../support/requests.mjs'

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
    const connection = Promise.race([once(socket, 'connect'), failed])
    await within(connection, new Error('not connected'), timeout)
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
  return { all, first: () => within(first, new Error(`no '${event}'`), PATIENCE) }
}

/** A request to upgrade, as bytes on a socket: a WebSocket client would hide the server's reaction. */
export class Upgrade {
  #peer

  constructor(port, path) {
    const socket = connect({ port, host: 'localhost' })
    this.#peer = new Peer(socket, { patience: Number.POSITIVE_INFINITY })
    const host = `localhost:${port}`
    this.#peer.write(upgrade(path, { Host: host, Origin: `http://${host}` }))
    /** Resolves when the server has ended the connection, or it is lost. */
    this.closed = this.#peer.ending()
  }

  /** The status line without the protocol; empty if the connection was closed without an answer. */
  async status(timeout, complaint) {
    const line = this.#peer.readThrough('\r\n').then(String, () => '')
    const text = await within(line, new Error(complaint), timeout)
    return text.trimEnd().replace('HTTP/1.1 ', '')
  }

  /** Sends a ping and waits for its pong. */
  async ping(timeout) {
    this.#peer.write(frame(OP.PING, 'upwire'))
    await within(this.#peer.readThrough('\x8a\x06upwire'), new Error('no pong'), timeout)
  }

  close() {
    this.#peer.destroy()
  }
}
