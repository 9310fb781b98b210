'use strict'

const { AsyncResource } = require('node:async_hooks')
const { closeError } = require('./close-error')
const { KIND, register, smallBytes, unregister } = require('../bridge/events')
const { surface } = require('../errors')
const { ObservedEmitter } = require('./observed-emitter')
const { PollingRequests } = require('../transports/polling-requests')
const staging = require('../bridge/commands')
const { Transport } = require('./transport')

const REASONS = [
  'transport error',
  'transport close',
  'forced close',
  'ping timeout',
  'parse error',
]
/** What stands in `writeBuffer` for a message: the message itself is native. */
const WAITING = Object.freeze({ type: 'message' })

/** The face of a native session: engine.io's `Socket`. */
class EngineSocket extends ObservedEmitter {
  constructor(engine, { id, request, remoteAddress, place, transport, slot, generation }) {
    super()
    this.id = id
    this.server = engine
    this.request = request
    this.protocol = 4
    this.remoteAddress = remoteAddress
    this.readyState = 'open'
    this.upgrading = false
    this.upgraded = false
    /** Its place among the sessions of the engine, and of its address. */
    this._place = place
    this._slot = slot
    // Events name it as a signed integer.
    this._generation = generation | 0
    this._transportName = transport
    this._transport = undefined
    /** The transport that is being probed. */
    this._probed = undefined
    this._polling = transport === 'polling' ? new PollingRequests(this) : undefined
    /** Polling requests that an upgrade has left behind. */
    this._leftPolling = undefined
    /** The tick of the last message, and how many there were in it. */
    this._wroteAt = 0
    this._wrote = 0
    /** Messages that were not sent, while `close` is told of them. */
    this._unsentAtEnd = 0
    this._callbacks = undefined
    this._isObserved = false
    this._resource = new AsyncResource('UPWIRE_SESSION', { requireManualDestroy: false })
    register(this)
  }

  /** The transport in use. */
  get transport() {
    this._transport ??= new Transport(this, this._transportName)
    return this._transport
  }

  /** Stands for what waits to be sent: its length is right, the messages are native. */
  get writeBuffer() {
    return new Array(this._waitingMessages()).fill(WAITING)
  }

  _waitingMessages() {
    if (this.readyState === 'closed') return this._unsentAtEnd
    const staged = this._wroteAt === staging.currentTick() ? this._wrote : 0
    return staged + staging.unsentMessages(this)
  }

  /** Sends a message; `callback` is called with the transport when it has left. */
  write(data, options, callback) {
    return this._write(data, options, callback)
  }

  /** Alias of {@link write}. */
  send(data, options, callback) {
    return this._write(data, options, callback)
  }

  _write(data, options, callback) {
    if (typeof options === 'function') {
      callback = options
      options = undefined
    }
    if (this.readyState !== 'open') return this
    if (this._events.packetCreate !== undefined) this._packetCreate(data, options)
    this._countWrite()
    if (callback !== undefined) {
      this._callbacks ??= []
      this._callbacks.push(callback)
      staging.write(this, data, true)
    } else if (isShared(options)) {
      staging.writeShared(this, data, options)
    } else {
      staging.write(this, data, false)
    }
    if (this._isWatched()) this._flush(data, options)
    return this
  }

  _countWrite() {
    const tick = staging.currentTick()
    if (this._wroteAt === tick) {
      this._wrote++
      return
    }
    this._wroteAt = tick
    this._wrote = 1
  }

  _packetCreate(data, options = {}) {
    options.compress = options.compress !== false
    const packet = { type: 'message', options }
    if (data) packet.data = data
    this.emit('packetCreate', packet)
  }

  /** Whether somebody listens for `flush` or `drain`, here or on the engine. */
  _isWatched() {
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

  /** engine.io's `flush`; `drain` comes when what this tick writes has left. */
  _flush(data, options) {
    staging.reportLater(this)
    const packet = {
      type: 'message',
      options: { ...options, compress: options?.compress !== false },
    }
    if (data) packet.data = data
    const buffer = [packet]
    this.emit('flush', buffer)
    this.server.emit('flush', this, buffer)
  }

  /** Has `drain` told for what waits already. */
  _awaitDrain() {
    if (this.readyState === 'open' && this._waitingMessages() > 0) staging.reportLater(this)
  }

  /** Asks the I/O thread to tell when what waits has left. */
  _report() {
    if (this.readyState !== 'open') return
    this._callbacks ??= []
    this._callbacks.push(undefined)
    staging.command('report', this)
  }

  _sent(count) {
    for (const callback of this._callbacks?.splice(0, count) ?? []) {
      try {
        callback?.(this.transport)
      } catch (error) {
        surface(error)
      }
    }
    told(this._transport, 'drain')
    told(this, 'drain')
    this.server.emit('drain', this)
  }

  _onLimit({ receipt, ...limit }) {
    // A dropped message has not been sent: its callback is not called.
    if (typeof receipt === 'number') this._callbacks?.splice(receipt, 1)
    this.server._onLimit(limit, this)
  }

  /** Closes the session; what was written before is sent first, unless `discard`. */
  close(discard = false) {
    if (this.readyState === 'open' || (discard && this.readyState === 'closing')) {
      this.readyState = 'closing'
      staging.command('close', this, Boolean(discard))
    }
    return this
  }

  /** The engine closes: the peer is told that the server goes away. */
  _shutdown() {
    if (this.readyState === 'closed') return
    this._unsentAtEnd = this._waitingMessages()
    this.readyState = 'closing'
    staging.command('shutdown', this)
  }

  /**
   * The engine is drained: sends what waits, then a close frame with 1001.
   * Returns `false` when the session is closing already.
   */
  _leave() {
    if (this.readyState !== 'open') return false
    this.readyState = 'closing'
    staging.command('leave', this)
    return true
  }

  /** Volatile rule: nothing written in this tick, nothing waiting, and on polling a GET parked. */
  _isWritable(name) {
    if (this.readyState !== 'open' || name !== this._transportName) return false
    if (this._wroteAt === staging.currentTick()) return false
    if (this._polling !== undefined) return this._polling.isParkedSince(this._wroteAt)
    return this._unsent() === 0
  }

  _unsent() {
    return staging.unsent(this)
  }

  /** An event from the I/O thread, in the async context of the handshake. */
  _run(kind, value, extra, offset, length) {
    this._resource.runInAsyncScope(onEvent, this, kind, value, extra, offset, length)
  }

  /** Ends the face. By then the engine has forgotten it, as engine.io's has. */
  _finish(reason, description) {
    if (this.readyState === 'closed') return
    this.readyState = 'closed'
    this.upgrading = false
    if (this._unsentAtEnd > 0) process.nextTick(forgetUnsent, this)
    unregister(this)
    const polling = this._polling ?? this._leftPolling
    polling?.end(isGivenUp(reason, description))
    this._callbacks = undefined
    this.server._forget(this)
    told(this._probed, 'close')
    told(this._transport, 'close')
    this.emit('close', reason, description)
  }

  /** Heartbeats and drains cross to JavaScript only where somebody listens. */
  _observe(event) {
    if (event === 'drain') return this._awaitDrain()
    if (event !== 'heartbeat' && event !== 'packet' && event !== 'packetCreate') return
    if (this._isObserved || this.readyState === 'closed') return
    this._isObserved = true
    staging.command('observe', this, true)
  }
}

/** Emits where more is to come: an error of the app's surfaces, and what is to come comes. */
function told(emitter, event) {
  try {
    emitter?.emit(event)
  } catch (error) {
    surface(error)
  }
}

function forgetUnsent(socket) {
  socket._unsentAtEnd = 0
}

/** Whether the peer is not waited for any more: what it has not read is cut off. */
function isGivenUp(reason, description) {
  return reason === 'ping timeout' || description?.code === 'ERR_UPWIRE_SLOW_CONSUMER'
}

/** Whether others get the same data with these options, or the app has framed it itself. */
function isShared(options) {
  if (options === undefined || options === null) return false
  return options.preEncoded === true || Array.isArray(options.wsPreEncodedFrame)
}

/** @this {EngineSocket} */
function onEvent(kind, value, extra, offset, length) {
  switch (kind) {
    case KIND.TEXT:
      return message(this, length === 0 ? undefined : value)
    case KIND.BINARY:
      return message(this, offset < 0 ? Buffer.from(value) : smallBytes(offset, length))
    case KIND.ANSWER_GET:
      return (this._polling ?? this._leftPolling)?.answer(extra >>> 0, body(value), length)
    case KIND.REFUSE_GET:
      return (this._polling ?? this._leftPolling)?.refuse(extra >>> 0)
    case KIND.SENT:
      return this._sent(extra)
    case KIND.HEARTBEAT:
      if (this._events.packet !== undefined) this.emit('packet', { type: 'pong' })
      this.emit('heartbeat')
      return
    case KIND.PING_SENT:
      if (this._events.packetCreate !== undefined) {
        this.emit('packetCreate', { type: 'ping', options: { compress: true } })
      }
      return
    case KIND.UPGRADING:
      this._probed = new Transport(this, 'websocket')
      this.emit('upgrading', this._probed)
      return
    case KIND.UPGRADED:
      return upgraded(this)
    case KIND.UPGRADE_FAILED:
      this.upgrading = false
      this.server._native.probeEnded(this.id, false)
      told(this._probed, 'close')
      this._probed = undefined
      return
    case KIND.POST_WANTED:
      return (this._polling ?? this._leftPolling)?.readPost()
    case KIND.LIMIT:
      return this._onLimit(JSON.parse(value))
    case KIND.CLOSE:
      this._unsentAtEnd = extra >>> 8
      return closed(this, REASONS[extra & 0xff], value)
  }
}

/** A payload: a string, or a Buffer where it is large. */
function body(value) {
  return typeof value === 'string' ? value : Buffer.from(value)
}

function closed(socket, reason, json) {
  const description = closeError(reason, json)
  if (description?.limit !== undefined) {
    const { limit: name, value } = description
    socket.server._onLimit({ name, limit: value, value, action: 'closed' }, socket)
  }
  // socket.io handles a message two ticks after it came; those before the close go first.
  unregister(socket)
  setImmediate(finish, socket, reason, description)
}

function finish(socket, reason, description) {
  socket._resource.runInAsyncScope(socket._finish, socket, reason, description)
}

function message(socket, data) {
  // As in engine.io: what arrives after the app has closed is not for it any more.
  if (socket.readyState !== 'open') return
  if (socket._events.packet !== undefined) socket.emit('packet', { type: 'message', data })
  socket.emit('data', data)
  socket.emit('message', data)
}

function upgraded(socket) {
  socket.upgrading = false
  socket.upgraded = true
  socket._transportName = 'websocket'
  const polling = socket._transport
  socket._transport = socket._probed
  socket._probed = undefined
  socket.server._native.probeEnded(socket.id, true)
  if (socket._polling.retire()) socket._leftPolling = socket._polling
  socket._polling = undefined
  told(polling, 'close')
  socket.emit('upgrade', socket.transport)
}

module.exports = { EngineSocket }
