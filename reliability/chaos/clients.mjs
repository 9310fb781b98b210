// The official clients: each opens a connection, exchanges messages for a while, ends it or sees it
// end, and starts over.

import { setTimeout as sleep } from 'node:timers/promises'
import { Socket as EngineClient } from 'engine.io-client'
import { io as connect } from 'socket.io-client'
import { EnginePeer, SocketPeer } from './peer.mjs'

const TRANSPORTS = [['polling'], ['websocket'], ['polling', 'websocket'], ['polling', 'websocket']]
/** What the clients' own parsers report for a damaged stream. */
const DAMAGE = /Invalid WebSocket|Invalid UTF|invalid (opcode|payload|status)|RSV|MASK|parse error/i
/** Longer than any disturbance, plus a heartbeat. */
const SYNC_PATIENCE = 40_000

export class Client {
  /** The connections that opened, for comparison with the server's sessions. */
  sessions = []
  #index
  #url
  #random
  #pool
  #complain
  #counts
  #gentle
  #current = null
  #isStopped = false
  #isCalm = false
  /** Ends the wait for a connection that does not open. */
  #giveUp
  #givenUp = new Promise((resolve) => (this.#giveUp = resolve))

  constructor(index, url, { random, pool, counts, gentle, complain }) {
    this.#index = index
    this.#url = url
    this.#random = random.stream(`client ${index}`)
    this.#pool = pool
    this.#counts = counts
    this.#gentle = gentle
    this.#complain = complain
  }

  /** Opens one connection after another until stopped. */
  async run() {
    while (!this.#isStopped) {
      const isSocket = this.#random.chance(0.6)
      const transports = this.#random.pick(TRANSPORTS)
      await (isSocket ? this.#socket(transports) : this.#engine(transports))
      if (!this.#isStopped) await sleep(this.#random.between(0, 300))
    }
  }

  /** From now on sends nothing and closes nothing. */
  calm() {
    this.#isCalm = true
  }

  /** Checks that the open connection, if there is one, has lost nothing. */
  async settle() {
    await this.#current?.settle()
  }

  /** Closes the connection and opens no more. */
  stop() {
    this.#isStopped = true
    this.#giveUp()
    this.#current?.close()
  }

  async #socket(transports) {
    const options = { transports, ca: this.#url.ca, reconnection: false, forceNew: true }
    const socket = connect(this.#url.href, { ...options, timeout: this.#gentle ? 20_000 : 8_000 })
    const refused = new Promise((resolve) => socket.once('connect_error', resolve))
    const session = { id: undefined, name: this.#name('socket.io', transports) }
    const peer = new SocketPeer(socket, this.#random, this.#pool, this.#complaint(session))
    peer.followNews()
    this.#watch(socket.io.engine, session)
    const opened = new Promise((resolve) => socket.once('connect', resolve))
    const ended = new Promise((resolve) => (peer.onEnd = resolve))
    await this.#live(session, peer, { opened, failed: Promise.race([refused, ended]), ended }, [
      // socket.io drops events that come in one batch with this packet.
      { close: () => socket.disconnect(), isComplete: false },
      { close: () => socket.io.engine.close(), isComplete: true },
    ])
    socket.disconnect()
    socket.io.engine.close()
  }

  async #engine(transports) {
    const options = { transports, ca: this.#url.ca, path: '/engine.io' }
    const socket = new EngineClient(this.#url.href, options)
    socket.binaryType = 'nodebuffer'
    const session = { id: undefined, name: this.#name('engine.io', transports) }
    const peer = new EnginePeer(socket, this.#random, this.#pool, this.#complaint(session))
    this.#watch(socket, session)
    const opened = new Promise((resolve) => socket.once('open', resolve))
    const ended = new Promise((resolve) => (peer.onEnd = resolve))
    await this.#live(session, peer, { opened, failed: ended, ended }, [
      { close: () => socket.close(), isComplete: true },
    ])
    socket.close()
  }

  #name(kind, transports) {
    return `client ${this.#index} (${kind}, ${transports.join(' then ')})`
  }

  #complaint(session) {
    return (text) => this.#complain(`${session.name}, session ${session.id}: ${text}`)
  }

  /** Records the id and upgrades, and complains about errors that mean damage. */
  #watch(engine, session) {
    engine.once('open', () => (session.id = engine.id))
    engine.once('upgrade', () => this.#count('upgrades'))
    const look = (error) => {
      const text = [
        error,
        error?.message,
        error?.description?.message,
        error?.error?.message,
      ].join()
      if (DAMAGE.test(text)) this.#complaint(session)(text)
    }
    engine.on('error', look)
    engine.on('close', (reason, detail) => {
      session.reason = [reason, detail?.message, detail?.description, detail?.context?.statusText]
        .filter(Boolean)
        .join(', ')
      look(reason)
      look(detail)
    })
  }

  #count(what) {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1
  }

  /** One connection from its beginning to its end. */
  async #live(session, peer, { opened, failed, ended }, closings) {
    let isClosing = false
    const end = this.#random.pick(closings)
    const close = () => {
      isClosing = true
      session.isComplete = end.isComplete
      end.close()
    }
    this.#current = { close, settle: async () => {} }
    const isOpen = opened.then(() => true)
    const outcome = await Promise.race([isOpen, failed, this.#givenUp])
    if (outcome !== true) {
      this.#count('failed')
      if (this.#gentle && !this.#isStopped)
        peer.complain(`did not open: ${outcome?.message ?? session.reason}`)
      this.#current = null
      return
    }
    this.#count('opened')
    this.sessions.push({ session, peer })
    const until = performance.now() + this.#random.between(200, 15_000)
    let sync = null
    this.#current.settle = () => this.#sync(peer, ended)
    while (!peer.ended) {
      if (this.#isStopped) close()
      await Promise.race([ended, sleep(this.#random.between(5, 120))])
      if (peer.ended || this.#isCalm) continue
      if (performance.now() > until) close()
      else this.#send(peer)
      if (sync === null && this.#random.chance(0.02)) {
        sync = this.#sync(peer, ended).then(() => (sync = null))
      }
    }
    await sync
    if (this.#gentle && !isClosing) peer.complain(`was ended: ${session.reason}`)
    this.#current = null
  }

  #send(peer) {
    const count = this.#random.chance(0.01) ? this.#random.between(20, 200) : 1
    for (let sent = 0; sent < count; sent++) peer.send()
  }

  /** Both sides compare their counters; an answer that never comes means a loss. */
  async #sync(peer, ended) {
    if (peer.ended) return
    const abort = new AbortController()
    const late = sleep(SYNC_PATIENCE, true, { signal: abort.signal }).catch(() => false)
    const isLate = await Promise.race([peer.sync(), ended, late])
    abort.abort()
    if (isLate === true && !peer.ended) peer.complain('a question is not answered')
    this.#count('syncs')
  }
}
