'use strict'

const { AsyncResource } = require('node:async_hooks')
const { closeError, shutdownError } = require('./close-error')
const commands = require('../bridge/commands')
const { CLOSE_REASONS, CLOSE_REASON_BITS, CODES, KIND } = require('../bridge/contract')
const log = require('../debug')
const { guarded, surface } = require('../errors')
const { addSession, removeSession, smallBytes } = require('../bridge/events')
const { ObservedEmitter } = require('./observed-emitter')
const { PollingRequests } = require('../transports/polling-requests')
const { Transport } = require('./transport')
const { OnPolling, OnWebSocket, Probing, Upgraded } = require('./transport-state')
const { WriteBuffer } = require('./write-buffer')

/** Close reasons by their native numbers. */
const REASONS = Object.values(CLOSE_REASONS)
const REASON_MASK = (1 << CLOSE_REASON_BITS) - 1

/** The JavaScript side of a native session: engine.io's `Socket`. */
class EngineSocket extends ObservedEmitter {
  /**
   * Which transport the session uses.
   * @type {OnPolling | Probing | Upgraded | OnWebSocket}
   */
  _transportState
  /** The transport in use as the app sees it, made when it is first read. */
  _transport = undefined
  /** What the Origin rule knows about the page that has opened the session: see `handshakePage`. */
  _handshakePage = /** @type {string | undefined} */ (undefined)
  #openedAt = performance.now()
  /** Events are emitted in the async context of the handshake. */
  #resource = new AsyncResource('UPWIRE_SESSION', { requireManualDestroy: false })
  /** The tick of the last message, and how many messages were written in it. */
  #wroteAt = 0
  #wrote = 0
  /** What to do for each `SENT` event to come: a callback, or `undefined` for a drain notice. */
  #callbacks = undefined
  /** Messages that were never sent; `close` listeners see their number in `writeBuffer`. */
  #unsentAtEnd = 0
  /** Whether the I/O thread makes heartbeats events. */
  #isObserved = false

  constructor(engine, opened) {
    const { id, request, remoteAddress, place, transport, protocol, jsonp, slot, generation } =
      opened
    super()
    this.id = id
    this.server = engine
    this.request = request
    /** The revision of the protocol: 4, or 3 for the clients of Socket.IO 2. */
    this.protocol = protocol
    this.remoteAddress = remoteAddress
    this.readyState = 'open'
    /** The place that it occupies among the sessions of the engine, and of its address. */
    this._place = place
    /** The slot and generation by which events and commands name the session. */
    this._slot = slot
    // Events carry the generation as a signed integer.
    this._generation = generation | 0
    this._transportState =
      transport === 'polling' ? new OnPolling(new PollingRequests(this, jsonp)) : new OnWebSocket()
    addSession(this)
    if (log.session.enabled) {
      log.session('%s opened: %s from %s', this._shortId, transport, remoteAddress)
    }
  }

  /** The transport in use. */
  get transport() {
    this._transport ??= new Transport(this, this._transportState.name)
    return this._transport
  }

  /** Whether a WebSocket is being probed for an upgrade. */
  get upgrading() {
    return this._transportState instanceof Probing && this.readyState !== 'closed'
  }

  /** Whether the session has moved from polling to WebSocket. */
  get upgraded() {
    return this._transportState instanceof Upgraded
  }

  /** A list with as many entries as messages wait; the messages themselves are in native memory. */
  get writeBuffer() {
    return WriteBuffer.of(this, this.#waitingMessages())
  }

  /** Callbacks of messages that have not been sent. A copy: the messages are in native memory. */
  get packetsFn() {
    return (this.#callbacks ?? []).filter((callback) => callback !== undefined)
  }

  /** Always empty: `packetsFn` has the callbacks of all messages that have not been sent. */
  get sentCallbackFn() {
    return []
  }

  /** Does nothing: what is written in a tick leaves at its end. */
  flush() {}

  #waitingMessages() {
    if (this.readyState === 'closed') return this.#unsentAtEnd
    const staged = this.#wroteAt === commands.currentTick() ? this.#wrote : 0
    return staged + commands.unsentMessages(this)
  }

  /** Sends a message. When it has been sent, `callback` is called with the transport. */
  write(data, options, callback) {
    return this.#write(data, options, callback)
  }

  /** Alias of {@link write}. */
  send(data, options, callback) {
    return this.#write(data, options, callback)
  }

  #write(data, options, callback) {
    if (typeof options === 'function') {
      callback = options
      options = undefined
    }
    if (this.readyState !== 'open') return this
    if (this._events.packetCreate !== undefined) this.#emitPacketCreate(data, options)
    this.#countWrite()
    if (callback !== undefined) {
      this.#callbacks ??= []
      this.#callbacks.push(callback)
      commands.write(this, data, options, true)
    } else if (isShared(options)) {
      commands.writeShared(this, data, options)
    } else {
      commands.write(this, data, options, false)
    }
    if (this.#hasFlushListeners()) this.#addToFlush(data, options)
    return this
  }

  #countWrite() {
    const tick = commands.currentTick()
    if (this.#wroteAt === tick) {
      this.#wrote++
      return
    }
    this.#wroteAt = tick
    this.#wrote = 1
  }

  #emitPacketCreate(data, options = {}) {
    options.compress = options.compress !== false
    const packet = { type: 'message', options }
    if (data) packet.data = data
    this.emit('packetCreate', packet)
  }

  /** Whether the session, its transport or the engine has listeners for `flush` or `drain`. */
  #hasFlushListeners() {
    const own = this._events
    const engine = this.server._events
    return (
      own.drain !== undefined ||
      own.flush !== undefined ||
      engine.drain !== undefined ||
      engine.flush !== undefined ||
      this._transport?._events.drain !== undefined
    )
  }

  /** Adds a packet to the next `flush`. `drain` follows when the messages of this tick have been sent. */
  #addToFlush(data, options) {
    const packet = {
      type: 'message',
      options: { ...options, compress: options?.compress !== false },
    }
    if (data) packet.data = data
    commands.requestDrainNotice(this, packet)
  }

  /** Emits engine.io's `flush` with the packets of a tick, which pass to the I/O threads together. */
  #emitFlush(packets) {
    guarded(() => this.emit('flush', packets))
    guarded(() => this.server.emit('flush', this, packets))
  }

  /** A new `drain` listener also covers messages that are already queued. */
  _coverQueued() {
    if (this.readyState === 'open' && this.#waitingMessages() > 0) commands.requestDrainNotice(this)
  }

  /**
   * Emits `flush`, and asks the I/O thread for a `SENT` event once everything queued has been written.
   * @param {object[]} packets those of this tick
   */
  _stageDrainNotice(packets) {
    if (packets.length > 0 && this.readyState !== 'closed') {
      this.#resource.runInAsyncScope(this.#emitFlush, this, packets)
    }
    if (this.readyState !== 'open') return
    this.#callbacks ??= []
    this.#callbacks.push(undefined)
    commands.command('notifyDrained', this)
  }

  #onSent(count) {
    const sent = this.#callbacks?.splice(0, count) ?? []
    for (const callback of sent) {
      try {
        callback?.(this.transport)
      } catch (error) {
        surface(error)
      }
    }
    // A callback alone does not say that the queue is empty; a notice does.
    if (!sent.includes(undefined) && this.#waitingMessages() > 0) return
    notify(this._transport, 'drain')
    notify(this, 'drain')
    this.server.emit('drain', this)
  }

  #onLimit({ receipt, ...limit }) {
    // The message was dropped, so its callback is never called.
    if (typeof receipt === 'number') this.#callbacks?.splice(receipt, 1)
    this.server._onLimit(limit, this)
  }

  /** Closes the session. Messages written before are sent first, unless `discard` is set. */
  close(discard = false) {
    if (this.readyState === 'open' || (discard && this.readyState === 'closing')) {
      this.readyState = 'closing'
      commands.command('close', this, Boolean(discard))
    }
    return this
  }

  /** Closes the session because its engine closes. `_completeShutdown` must follow. */
  _shutdown() {
    if (this.readyState === 'closed') return
    this.#unsentAtEnd = this.#waitingMessages()
    this.readyState = 'closing'
    commands.command('shutdown', this)
  }

  /** Ends the session in JavaScript at once: nothing waits for the I/O thread when an engine closes. */
  _completeShutdown() {
    this.#completeClose(CLOSE_REASONS.FORCED_CLOSE, shutdownError(this._transportState.name))
  }

  /**
   * Closes the session because its engine is drained: sends the queued messages, and then a close frame
   * 1001 or a close packet. Returns `false` if the session is closing already.
   */
  _closeDrained() {
    if (this.readyState !== 'open') return false
    this.readyState = 'closing'
    commands.command('closeDrained', this)
    return true
  }

  /**
   * Whether a volatile packet may be sent on the transport `name`: nothing was written in this tick and
   * nothing waits; on polling, a GET must be parked as well.
   */
  _isWritable(name) {
    const { name: used, requests } = this._transportState
    if (this.readyState !== 'open' || name !== used) return false
    if (this.#wroteAt === commands.currentTick()) return false
    if (used === 'polling') return requests.isParkedSince(this.#wroteAt)
    return this._unsentBytes() === 0
  }

  _unsentBytes() {
    return commands.unsent(this)
  }

  /** The HTTP requests of the session, as long as it has any. */
  get _polling() {
    return this._transportState.requests
  }

  /** A WebSocket has come for an upgrade, and is about to be handed to the I/O thread. */
  _startProbe() {
    this._transportState = this._transportState.probe()
    this._polling.announcePost()
    if (log.upgrade.enabled) log.upgrade('%s: a WebSocket is probed', this._shortId)
  }

  /** The last polling request of an upgraded session has ended. */
  _releasePolling() {
    if (this._transportState instanceof Upgraded) this._transportState.requests = undefined
  }

  /** Handles an event from the I/O thread, in the async context of the handshake. */
  _onEvent(kind, value, extra, offset, length) {
    this.#resource.runInAsyncScope(this.#handleEvent, this, kind, value, extra, offset, length)
  }

  #handleEvent(kind, value, extra, offset, length) {
    switch (kind) {
      case KIND.TEXT:
        return this.#onMessage(length === 0 ? undefined : value)
      case KIND.BINARY:
        return this.#onMessage(bytesOf(value, offset, length))
      case KIND.ANSWER_GET:
        return this._polling?.answer(extra >>> 0, payloadOf(value), length, false)
      case KIND.ANSWER_GET_BYTES:
        return this._polling?.answer(extra >>> 0, bytesOf(value, offset, length), length, true)
      case KIND.REFUSE_GET:
        return this._polling?.refuse(extra >>> 0)
      case KIND.SENT:
        return this.#onSent(extra)
      case KIND.HEARTBEAT:
        return this.#onHeartbeat()
      case KIND.PING_SENT:
        if (this._events.packetCreate !== undefined) {
          this.emit('packetCreate', { type: 'ping', options: { compress: true } })
        }
        return
      case KIND.UPGRADING:
        return this.#onProbe()
      case KIND.UPGRADED:
        return this.#onUpgraded()
      case KIND.UPGRADE_FAILED:
        return this.#onUpgradeFailed()
      case KIND.POST_WANTED:
        return this._polling?.readPost()
      case KIND.LIMIT:
        return this.#onLimit(JSON.parse(value))
      case KIND.CLOSE:
        this.#unsentAtEnd = extra >>> CLOSE_REASON_BITS
        return this.#onClose(REASONS[extra & REASON_MASK], value)
    }
  }

  #onMessage(data) {
    // As in engine.io, messages that arrive after the app has called `close()` are dropped.
    if (this.readyState !== 'open') return
    if (this._events.packet !== undefined) this.emit('packet', { type: 'message', data })
    this.emit('data', data)
    this.emit('message', data)
  }

  /** A pong has come, or in revision 3 a ping, which the I/O thread has answered. */
  #onHeartbeat() {
    const type = this.protocol === 3 ? 'ping' : 'pong'
    if (this._events.packet !== undefined) this.emit('packet', { type })
    if (this.protocol === 3 && this._events.packetCreate !== undefined) {
      this.emit('packetCreate', { type: 'pong', options: { compress: true } })
    }
    this.emit('heartbeat')
  }

  #onProbe() {
    const state = this._transportState
    state.probed = new Transport(this, 'websocket')
    if (log.upgrade.enabled) log.upgrade('%s: the probe was answered', this._shortId)
    this.emit('upgrading', state.probed)
  }

  #onUpgraded() {
    const polling = this._transport
    const { probed, startedAt } = this._transportState
    this._transportState = this._transportState.upgrade()
    this._transport = probed
    if (log.upgrade.enabled) log.upgrade('%s: upgraded after %s', this._shortId, since(startedAt))
    if (!this._polling.retire()) this._releasePolling()
    notify(polling, 'close')
    this.emit('upgrade', this.transport)
  }

  #onUpgradeFailed() {
    const { probed, startedAt } = this._transportState
    this._transportState = this._transportState.fail()
    if (log.upgrade.enabled) {
      const step = probed === undefined ? 'before its probe' : 'after its probe'
      const { upgradeTimeout } = this.server.opts
      const isLate = performance.now() - startedAt >= upgradeTimeout
      const reason = isLate
        ? `upgradeTimeout (${upgradeTimeout} ms)`
        : 'the WebSocket was closed, or did not send a probe'
      log.upgrade('%s: failed %s after %s: %s', this._shortId, step, since(startedAt), reason)
    }
    notify(probed, 'close')
  }

  #onClose(reason, json) {
    const description = closeError(reason, json)
    if (description?.limit !== undefined) {
      const { limit: name, value } = description
      this.server._onLimit({ name, limit: value, value, action: 'closed' }, this)
    }
    // socket.io handles a message up to two ticks after its event; all messages go before the close.
    removeSession(this)
    setImmediate(() => {
      this.#resource.runInAsyncScope(this.#completeClose, this, reason, description)
    })
  }

  /** Ends the session in JavaScript. As in engine.io, the engine has forgotten it when `close` is emitted. */
  #completeClose(reason, description) {
    if (this.readyState === 'closed') return
    this.readyState = 'closed'
    if (this.#unsentAtEnd > 0) process.nextTick(() => (this.#unsentAtEnd = 0))
    removeSession(this)
    if (log.session.enabled) this.#logClose(reason, description)
    this._polling?.end(isUnresponsive(reason, description))
    this.#callbacks = undefined
    this.server._forget(this)
    notify(this._transportState.probed, 'close')
    notify(this._transport, 'close')
    this.emit('close', reason, description)
  }

  #logClose(reason, description) {
    const code = description?.code ?? 'no code'
    log.session('%s closed: %s (%s) after %s', this._shortId, reason, code, since(this.#openedAt))
  }

  /** Called before a listener is added. Heartbeats become events only when something listens for them. */
  _observe(event) {
    if (event === 'drain') return this._coverQueued()
    if (event !== 'heartbeat' && event !== 'packet' && event !== 'packetCreate') return
    if (this.#isObserved || this.readyState === 'closed') return
    this.#isObserved = true
    commands.command('observe', this, true)
  }

  /** The session's state, for bug reports: a plain object that can be written as JSON. */
  debugState() {
    return {
      id: this._shortId,
      readyState: this.readyState,
      transport: this._transportState.name,
      upgrading: this.upgrading,
      upgraded: this.upgraded,
      waitingMessages: this.#waitingMessages(),
      waitingBytes: this._unsentBytes(),
      remoteAddress: this.remoteAddress ?? null,
      age: Math.round(performance.now() - this.#openedAt),
      requests: this._polling?.debugState() ?? null,
    }
  }

  /** The beginning of the id. The whole id would let a reader of logs impersonate the client. */
  get _shortId() {
    return `${this.id.slice(0, 4)}…`
  }
}

/** Emits an event; a listener that throws cannot stop what follows. */
function notify(emitter, event) {
  try {
    emitter?.emit(event)
  } catch (error) {
    surface(error)
  }
}

/** Whether the peer has stopped reading, so that answers on their way to it are cut off. */
function isUnresponsive(reason, description) {
  return reason === CLOSE_REASONS.PING_TIMEOUT || description?.code === CODES.SLOW_CONSUMER
}

/** Whether other sessions may get the same data with these options, or the app has framed the data. */
function isShared(options) {
  if (options === undefined || options === null) return false
  return options.preEncoded === true || Array.isArray(options.wsPreEncodedFrame)
}

/** A payload is a string, or a Buffer when it is large. */
function payloadOf(value) {
  return typeof value === 'string' ? value : Buffer.from(value)
}

/** The bytes of a binary event: small ones are in memory that events share. */
function bytesOf(value, offset, length) {
  return offset < 0 ? Buffer.from(value) : smallBytes(offset, length)
}

/** The time since a moment, for logs. */
function since(moment) {
  return `${Math.round(performance.now() - moment)} ms`
}

module.exports = { EngineSocket }
