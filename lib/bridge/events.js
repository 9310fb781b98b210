'use strict'

// Events from the I/O threads to the faces of sessions. The numbers of the kinds are the contract
// with src/runtime/inbox.rs.

const { surface, warnOnce } = require('../errors')
const native = require('./binding')
const { setHot } = require('./commands')

const KIND = {
  TEXT: 0,
  BINARY: 1,
  CLOSE: 2,
  UPGRADING: 3,
  UPGRADED: 4,
  UPGRADE_FAILED: 5,
  HEARTBEAT: 6,
  PING_SENT: 7,
  SENT: 8,
  ANSWER_GET: 9,
  REFUSE_GET: 10,
  LIMIT: 11,
  POST_WANTED: 12,
  STREAM_WRITE: 13,
  STREAM_END: 14,
  STREAM_RESET: 15,
  STREAM_PAUSE: 16,
  STREAM_RESUME: 17,
}

/** Integers that describe one event: slot, generation, kind, extra, offset, length. */
const META = 6

/**
 * What a native image and this thread's JavaScript share. A file that is evaluated a second time,
 * by a bundler or a test runner, meets the same image and joins in.
 */
const SEAM = Symbol.for(`upwire.seam.${native.image()}`)
const seam = (globalThis[SEAM] ??= {
  /** Faces by slot. @type {Array<import('../engine/engine-socket').EngineSocket | undefined>} */
  sockets: [],
  /** Streams that carry a WebSocket because there is no descriptor, by number. */
  streams: new Map(),
  lastStream: 0,
  open: 0,
  keepAlive: undefined,
  /** The options that the I/O threads were started with. */
  started: undefined,
  hot: undefined,
  meta: undefined,
  small: undefined,
  deliver: undefined,
})

/** Options that all engines of an environment share; the first engine's count. */
const SHARED = ['ioThreads', 'maxLoopStall', 'maxTotalReceiveQueue', 'maxTotalSendBuffer']

/** Starts the I/O threads of this environment, unless they run. */
function start(options) {
  if (seam.started === undefined) {
    const started = Object.fromEntries(SHARED.map((name) => [name, options[name]]))
    native.start(started, deliver)
    seam.started = started
    seam.hot = native.hot(dispatch)
    seam.meta = seam.hot.meta
    seam.small = Buffer.from(seam.hot.small.buffer)
    seam.deliver = deliver
  }
  setHot(seam.hot, seam.deliver)
  compare(options)
}

function compare(options) {
  for (const name of SHARED) {
    const kept = seam.started[name]
    if (options[name] === kept) continue
    const text = `all engines of a thread share ${name}: ${options[name]} is ignored, it is ${kept}`
    warnOnce(`shared ${name}`, 'UPWIRE_SHARED_OPTION', text)
  }
}

/**
 * Delivers a turn's worth of events; what is left waits until the loop has been around once. An error
 * must not keep the next delivery from coming.
 */
function deliver() {
  let more = true
  try {
    more = seam.hot.deliver()
  } catch (error) {
    if (error?.code === 'ERR_UPWIRE_NOT_RUNNING') return
    surface(error)
  }
  if (more) setImmediate(deliver)
}

/** A small binary message, in memory of its own: the app may transfer it. */
function smallBytes(offset, length) {
  const own = Buffer.allocUnsafeSlow(length)
  seam.small.copy(own, 0, offset, offset + length)
  return own
}

function dispatch(count, a, b, c, d, e, f, g, h) {
  one(0, a)
  if (count > 1) one(1, b)
  if (count > 2) one(2, c)
  if (count > 3) one(3, d)
  if (count > 4) one(4, e)
  if (count > 5) one(5, f)
  if (count > 6) one(6, g)
  if (count > 7) one(7, h)
}

/** One event. A listener that throws does so once, later, as from any emitter; the rest goes on. */
function one(index, value) {
  const { meta } = seam
  const at = index * META
  const kind = meta[at + 2]
  try {
    if (kind >= KIND.STREAM_WRITE) {
      seam.streams.get(meta[at])?.onEvent(kind, value)
      return
    }
    const socket = seam.sockets[meta[at]]
    if (socket === undefined || socket._generation !== meta[at + 1]) return
    socket._run(kind, value, meta[at + 3], meta[at + 4], meta[at + 5])
  } catch (error) {
    surface(error)
  }
}

/** Registers a face. Open sessions keep the process alive, as open sockets would. */
function register(socket) {
  seam.sockets[socket._slot] = socket
  seam.open++
  seam.keepAlive ??= setInterval(() => {}, 2 ** 30)
}

/** Forgets a face. */
function unregister(socket) {
  if (seam.sockets[socket._slot] !== socket) return
  seam.sockets[socket._slot] = undefined
  seam.open--
  if (seam.open > 0) return
  clearInterval(seam.keepAlive)
  seam.keepAlive = undefined
}

/** A number for a stream. */
function nextStream() {
  seam.lastStream = (seam.lastStream + 1) | 0
  return seam.lastStream
}

module.exports = {
  KIND,
  nextStream,
  register,
  smallBytes,
  start,
  streams: seam.streams,
  unregister,
}
