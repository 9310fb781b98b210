// A TCP proxy that disturbs the bytes it forwards: it delays, stalls, splits and merges them
// without reordering, and cuts, resets, half-closes or forgets connections at any byte.

import net from 'node:net'
import { once, setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** How the bytes of one direction are forwarded. */
const MANNERS = ['plain', 'plain', 'jitter', 'split', 'merge', 'stall']
/** How the proxy ends a connection. */
const FATES = ['cut', 'reset', 'half', 'forget']
/** A connection that has met its fate and still exists ends after this time. */
const AFTERLIFE = 9_000

export class ChaosProxy {
  /** How often each disturbance happened. */
  counts = {}
  #target
  #random
  #server
  #port = 0
  #pairs = new Set()
  #calm = new AbortController()
  #opened = 0
  #gentle

  /** A gentle proxy delays for less than a heartbeat, and ends nothing. */
  constructor(target, random, gentle) {
    this.#target = target
    this.#random = random
    this.#gentle = gentle
    // Every delayed connection listens to this signal.
    setMaxListeners(0, this.#calm.signal)
  }

  get port() {
    return this.#port
  }

  async listen() {
    this.#server = net.createServer({ allowHalfOpen: true }, (near) => this.#accept(near))
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = this.#server.address().port
  }

  /** Ends all connections, refuses new ones for a while, and continues. */
  async restart(downtime) {
    this.#count('restart')
    this.#server.close()
    for (const pair of this.#pairs) pair.end(this.#random.chance(0.5))
    await sleep(downtime)
    await this.listen()
  }

  /** From now on everything passes: delayed bytes continue, and forgotten connections end. */
  calm() {
    this.#calm.abort()
  }

  close() {
    this.calm()
    this.#server.close()
    for (const pair of this.#pairs) pair.end(false)
  }

  #accept(near) {
    const random = this.#random.stream(`connection ${this.#opened++}`)
    const far = net.connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true })
    const count = (what) => this.#count(what)
    const pair = new Pair(near, far, {
      random,
      count,
      calm: this.#calm.signal,
      gentle: this.#gentle,
    })
    this.#pairs.add(pair)
    near.once('close', () => this.#pairs.delete(pair))
  }

  #count(what) {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

/** A connection of a client and its connection to the server. */
class Pair {
  #streams
  #random
  #calm
  #count
  #gentle
  #isForgotten = false

  constructor(near, far, { random, count, calm, gentle }) {
    this.#streams = [near, far]
    this.#random = random
    this.#calm = calm
    this.#count = count
    this.#gentle = gentle
    for (const stream of this.#streams) {
      stream.setNoDelay(true)
      stream.on('error', () => {})
      stream.once('close', () => this.end(false))
    }
    const fate = gentle || calm.aborted || random.chance(0.7) ? null : random.pick(FATES)
    const isUp = random.chance(0.5)
    const at = random.pick([random.between(1, 600), random.between(1, 60_000)])
    void this.#pass(near, far, isUp ? fate : null, at)
    void this.#pass(far, near, isUp ? null : fate, at)
  }

  /** Ends both connections. */
  end(reset) {
    for (const stream of this.#streams) {
      if (stream.destroyed) continue
      if (reset) stream.resetAndDestroy()
      else stream.destroy()
    }
  }

  /** Forwards one direction until its fate, at a position in its bytes, or until its end. */
  async #pass(from, to, fate, at) {
    const manner = this.#calm.aborted ? 'plain' : this.#random.pick(MANNERS)
    let left = fate === null ? Number.POSITIVE_INFINITY : at
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        if (this.#isForgotten) continue
        await this.#hold(manner)
        const part = chunk.subarray(0, Math.min(left, chunk.length))
        for (const piece of this.#pieces(part, manner)) await this.#write(to, piece)
        left -= chunk.length
        if (left <= 0 && !this.#calm.aborted) return this.#meet(fate, to)
        if (left <= 0) await this.#write(to, chunk.subarray(part.length))
      }
      to.end()
    } catch {
      // The other stream has ended, and this one with it.
    }
  }

  async #hold(manner) {
    if (this.#calm.aborted) return
    const random = this.#random
    if (manner === 'jitter') await this.#pause(random.between(0, 12))
    // Chunks that arrive meanwhile are read together.
    if (manner === 'merge') await this.#pause(random.between(5, 50))
    if (manner === 'stall' && random.chance(0.05)) {
      this.#count('stall')
      await this.#pause(this.#stall())
    }
  }

  /** How long nothing passes, in milliseconds. */
  #stall() {
    const random = this.#random
    if (this.#gentle || random.chance(0.9)) return random.between(20, 900)
    return random.between(1000, 8000)
  }

  *#pieces(bytes, manner) {
    if (manner !== 'split') {
      if (bytes.length > 0) yield bytes
      return
    }
    // Starts with small pieces; the rest of a large chunk would take too long that way.
    for (let start = 0; start < bytes.length; ) {
      const most = start < 200 ? 9 : 20_000
      const end = start + this.#random.between(1, most)
      yield bytes.subarray(start, end)
      start = end
    }
  }

  async #write(to, piece) {
    if (piece.length === 0) return
    await new Promise((resolve, reject) => {
      to.write(piece, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Applies the fate once the part of the message before it has been forwarded. */
  #meet(fate, to) {
    this.#count(fate)
    if (fate === 'cut') return this.end(false)
    if (fate === 'reset') return this.end(true)
    if (fate === 'half') to.end()
    if (fate === 'forget') this.#isForgotten = true
    return this.#pause(AFTERLIFE).then(() => this.end(false))
  }

  /** Waits, but at most until calm. */
  async #pause(ms) {
    await sleep(ms, undefined, { signal: this.#calm }).catch(() => {})
  }
}
