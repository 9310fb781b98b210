// A TCP connection in the hands of a test: literal bytes out, and whatever comes back.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { within } from './events.mjs'

/** One end of a connection; nothing is answered, ended or closed unless the test says so. */
export class Peer {
  #socket
  #chunks = []
  #waiters = new Set()
  #ended
  #hasFinished = false

  constructor(socket) {
    this.#socket = socket
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

  /** How the other side ended: `fin`, `reset`, or not yet. */
  get ended() {
    const isOpen = !this.#hasFinished && !this.#socket.destroyed
    // libuv takes a reset that comes behind bytes for an end; the kernel knows.
    if (this.#ended === 'fin' && isOpen && !isHalfClosed(this.#socket.localPort))
      this.#ended = 'reset'
    return this.#ended
  }

  #look() {
    for (const look of [...this.#waiters]) look()
  }

  /** Waits until `condition` gives something, looking whenever bytes or an end have come. */
  async #when(condition, what) {
    let look
    const come = new Promise((resolve, reject) => {
      look = () => {
        try {
          const value = condition()
          if (value !== undefined) resolve(value)
        } catch (error) {
          reject(error)
        }
      }
      this.#waiters.add(look)
      look()
    })
    try {
      return await within(come, what)
    } catch (error) {
      if (error.message.startsWith(what)) {
        error.message += `; got ${this.buffered} bytes: ${JSON.stringify(this.#peek())}`
      }
      throw error
    } finally {
      this.#waiters.delete(look)
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

  /** Writes bytes; strings are Latin-1, so that each character is one byte. */
  write(...parts) {
    const bytes = parts.map((part) =>
      typeof part === 'string' ? Buffer.from(part, 'latin1') : part,
    )
    this.#socket.write(Buffer.concat(bytes))
    return this
  }

  /** Exactly so many bytes. */
  read(count) {
    return this.#when(() => {
      if (this.buffered >= count) return this.#take(count)
      if (this.ended) throw new Error(`wanted ${count} bytes; ${this.#ending()}`)
      return undefined
    }, `${count} bytes`)
  }

  /** The bytes up to and with a delimiter. */
  readThrough(delimiter) {
    return this.#when(
      () => {
        const at = this.#joined().indexOf(delimiter)
        if (at >= 0) return this.#take(at + delimiter.length)
        if (this.ended) throw new Error(`wanted ${JSON.stringify(delimiter)}; ${this.#ending()}`)
        return undefined
      },
      `bytes through ${JSON.stringify(delimiter)}`,
    )
  }

  #ending() {
    return `ended (${this.ended}) with ${this.buffered} bytes: ${JSON.stringify(this.#peek())}`
  }

  /** Waits for bytes, or for the end: true when there are bytes. */
  some() {
    return this.#when(() => {
      if (this.buffered > 0) return true
      return this.ended ? false : undefined
    }, 'bytes or an end')
  }

  /** All that still comes, until the other side has ended. */
  rest() {
    return this.#when(() => (this.ended ? this.#take(this.buffered) : undefined), 'an end')
  }

  /** How the other side ends: `fin` or `reset`. */
  ending() {
    return this.#when(() => this.ended, 'an end')
  }

  /** Bytes that the other side's kernel has not taken. */
  get unsent() {
    return this.#socket.writableLength
  }

  /** Waits until all that was written is in the kernel's hands. */
  flushed() {
    const flushed = new Promise((resolve) => this.#socket.write('', resolve))
    return within(flushed, 'the kernel to take all bytes')
  }

  /** Stops reading: the other side's queue grows. */
  pause() {
    this.#socket.pause()
    return this
  }

  /** Reads on. */
  resume() {
    this.#socket.resume()
    return this
  }

  /** Sends FIN and goes on reading. */
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

  /** Lets go of the connection. */
  destroy() {
    this.#socket.destroy()
  }
}

const CLOSE_WAIT = '08'

/** Whether a connection of ours has been ended by FIN from the other side, and is there. */
function isHalfClosed(localPort) {
  const port = localPort.toString(16).toUpperCase().padStart(4, '0')
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .some((line) => {
      const [, local, , state] = line.trim().split(/\s+/)
      return local === `0100007F:${port}` && state === CLOSE_WAIT
    })
}
