// A connection in the hands of a test: it writes literal bytes and reads whatever comes back.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { PATIENCE, within } from './events.mjs'

/** One end of a connection. It answers, ends and closes nothing unless the test says so. */
export class Peer {
  #socket
  #patience
  #chunks = []
  #watchers = new Set()
  #ended
  #hasFinished = false

  /**
   * @param {import('node:stream').Duplex} socket
   * @param {{ patience?: number }} [options] how many milliseconds a read waits
   */
  constructor(socket, { patience = PATIENCE } = {}) {
    this.#socket = socket
    this.#patience = patience
    this.buffered = 0
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk)
      this.buffered += chunk.length
      this.#look()
    })
    socket.on('end', () => this.#end('fin'))
    socket.on('error', (error) => this.#end(error.code === 'ECONNRESET' ? 'reset' : error.code))
    socket.on('close', () => this.#end('destroyed here'))
  }

  /** Connects to a port of this machine. */
  static async connect(port) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const peer = new Peer(socket)
    const connected = new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    await within(connected, 'a TCP connection')
    return peer
  }

  #end(how) {
    this.#ended ??= how
    this.#look()
  }

  /** How the other side has ended: `fin`, `reset`, or `undefined` while it has not. */
  get ended() {
    const isOpen = !this.#hasFinished && !this.#socket.destroyed
    // libuv takes a reset that comes behind bytes for an end; the kernel knows better.
    if (this.#ended === 'fin' && isOpen && !isHalfClosed(this.#socket)) this.#ended = 'reset'
    return this.#ended
  }

  #look() {
    for (const look of [...this.#watchers]) look()
  }

  /** Waits until `condition` returns something, checking it whenever bytes or an end have come. */
  async #when(condition, what) {
    let look
    const met = new Promise((resolve, reject) => {
      look = () => {
        try {
          const value = condition()
          if (value !== undefined) resolve(value)
        } catch (error) {
          reject(error)
        }
      }
      this.#watchers.add(look)
      look()
    })
    const seen = () => `${what}; got ${this.buffered} bytes: ${JSON.stringify(this.#peek())}`
    try {
      return await within(met, seen, this.#patience)
    } finally {
      this.#watchers.delete(look)
    }
  }

  #joined() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? Buffer.alloc(0)
  }

  #peek() {
    return this.#joined().subarray(0, 400).toString('latin1')
  }

  #take(count) {
    const all = this.#joined()
    this.#chunks = count < all.length ? [all.subarray(count)] : []
    this.buffered -= count
    return all.subarray(0, count)
  }

  /** Writes bytes. Strings are Latin-1, so that each character is one byte. */
  write(...parts) {
    const bytes = parts.map((part) =>
      typeof part === 'string' ? Buffer.from(part, 'latin1') : part,
    )
    this.#socket.write(Buffer.concat(bytes))
    return this
  }

  /** Reads exactly this many bytes. */
  read(count) {
    return this.#when(() => {
      if (this.buffered >= count) return this.#take(count)
      if (this.ended) throw new Error(`wanted ${count} bytes; ${this.#ending()}`)
      return undefined
    }, `${count} bytes`)
  }

  /** Reads up to and including a delimiter. */
  readThrough(delimiter) {
    const bytes = Buffer.from(delimiter, 'latin1')
    return this.#when(
      () => {
        const at = this.#joined().indexOf(bytes)
        if (at >= 0) return this.#take(at + bytes.length)
        if (this.ended) throw new Error(`wanted ${JSON.stringify(delimiter)}; ${this.#ending()}`)
        return undefined
      },
      `bytes through ${JSON.stringify(delimiter)}`,
    )
  }

  #ending() {
    return `ended (${this.ended}) with ${this.buffered} bytes: ${JSON.stringify(this.#peek())}`
  }

  /** The text that has come and was not read yet, in Latin-1. */
  get unread() {
    return this.#joined().toString('latin1')
  }

  /** Waits for bytes or for the end; returns whether there are bytes. */
  some() {
    return this.#when(() => {
      if (this.buffered > 0) return true
      return this.ended ? false : undefined
    }, 'bytes or an end')
  }

  /** Reads everything until the other side has ended. */
  rest() {
    return this.#when(() => (this.ended ? this.#take(this.buffered) : undefined), 'an end')
  }

  /** Waits until the other side has ended; returns how: `fin` or `reset`. */
  ending() {
    return this.#when(() => this.ended, 'an end')
  }

  /** The number of bytes that the other side's kernel has not accepted. */
  get unsent() {
    return this.#socket.writableLength
  }

  /** Waits until the kernel has everything that was written. */
  flushed() {
    const flushed = new Promise((resolve) => this.#socket.write('', resolve))
    return within(flushed, 'the kernel to take all bytes', this.#patience)
  }

  /** Stops reading, so that the other side's queue grows. */
  pause() {
    this.#socket.pause()
    return this
  }

  /** Continues reading. */
  resume() {
    this.#socket.resume()
    return this
  }

  /** Sends FIN and continues reading. */
  finish() {
    this.#hasFinished = true
    this.#socket.end()
    return this
  }

  /** Sends RST. */
  reset() {
    this.#socket.resetAndDestroy()
    return this
  }

  /** Closes the connection. */
  destroy() {
    this.#socket.destroy()
  }
}

const CLOSE_WAIT = '08'

/**
 * Whether the other side has ended a connection by FIN, so that the connection still exists. Only
 * Linux can tell, for TCP over IPv4; elsewhere an end counts as one by FIN.
 */
function isHalfClosed({ localAddress, localPort }) {
  if (process.platform !== 'linux' || localAddress !== '127.0.0.1') return true
  const port = localPort.toString(16).toUpperCase().padStart(4, '0')
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .some((line) => {
      const [, local, , state] = line.trim().split(/\s+/)
      return local === `0100007F:${port}` && state === CLOSE_WAIT
    })
}
