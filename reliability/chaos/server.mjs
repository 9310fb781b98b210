// The server under chaos: socket.io on upwire and a bare Engine on one HTTP server. It checks the
// messages it receives, sends messages of its own, and disturbs itself on request.

import http from 'node:http'
import https from 'node:https'
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'

import { cert, key } from '../../__test__/support/certificate.mjs'
import { answer } from '../../bench/harness/answers.mjs'
import { holdings } from '../harness/holdings.mjs'
import { Pool, Sender } from './messages.mjs'
import { EnginePeer, SocketPeer } from './peer.mjs'
import { Random } from './random.mjs'
import { Transfers } from './transfers.mjs'

const { attach, Engine } = createRequire(import.meta.url)('../../index.js')

/**
 * Codes that only a damaged stream can have: the clients keep to the protocol. ERR_UPWIRE_OVERLAP is
 * not one: a client whose poll fails sends a close packet beside the POST that is on its way.
 */
const DAMAGE = new Set([
  'ERR_UPWIRE_HEARTBEAT_DIRECTION',
  'ERR_UPWIRE_INTERNAL',
  'ERR_UPWIRE_INVALID_CONTENT',
  'ERR_UPWIRE_INVALID_FRAME',
  'ERR_UPWIRE_INVALID_PACKET',
  'ERR_UPWIRE_INVALID_UTF8',
])

const { seed, threads, tls, transfer, gentle } = JSON.parse(process.argv[2])
const random = new Random(seed, 'server')
const pool = new Pool(random.stream('pool'))
const options = {
  pingInterval: 2_000,
  pingTimeout: 4_000,
  ioThreads: threads,
  // Small enough that some sessions reach it.
  maxReceiveQueue: 256 * 1024,
  // The disturbances stay below these. (A polling client estimates base64 as a little shorter than
  // it is, and may exceed the default size with many messages at once.)
  ...(gentle && {
    maxHttpBufferSize: 16_000_000,
    pingTimeout: 30_000,
    upgradeTimeout: 30_000,
  }),
}
const server = tls ? https.createServer({ cert, key }) : http.createServer()
const io = attach(server, options)
const engine = new Engine({ ...options, path: '/engine.io' })
engine.attach(server, { path: '/engine.io' })

const sessions = new Map()
const peers = new Map()
const reasons = {}
const news = new Sender(random.stream('news'), pool)
const transfers = transfer
  ? new Transfers(new Worker(new URL('transfers.mjs', import.meta.url)), random, complain)
  : null
let isCalm = false

function complain(text) {
  process.send({ report: { complaint: `server: ${text}` } })
}

/** Checks that each session ends once, with a reason that does not mean damage. */
function follow(socket, kind) {
  const session = { kind, closes: 0, sent: 0, received: 0 }
  if (sessions.has(socket.id)) complain(`session ${socket.id} opened twice`)
  sessions.set(socket.id, session)
  socket.on('close', (reason, detail) => {
    session.closes++
    const parts = [socket.transport.name, reason, detail?.code].filter(Boolean)
    const name = parts.join(', ')
    reasons[name] = (reasons[name] ?? 0) + 1
    if (reason === 'parse error' || DAMAGE.has(detail?.code)) {
      complain(`${kind} session ${socket.id} closed: ${name} ${detail?.message ?? ''}`)
    }
  })
  return session
}

function keep(id, session, peer, close) {
  peers.set(id, { peer, close })
  peer.onEnd = () => {
    Object.assign(session, peer.counters, { ended: true })
    peers.delete(id)
  }
}

function own(id) {
  return [random.stream(id), pool, (text) => complain(`session ${id}: ${text}`)]
}

io.engine.on('connection', (socket) => follow(socket, 'socket.io'))
io.on('connection', (socket) => {
  const id = socket.conn.id
  const peer = new SocketPeer(socket, ...own(id), onBytes)
  peer.nextNews = () => news.sent
  socket.emit('hello', news.sent)
  keep(id, sessions.get(id), peer, {
    namespace: () => socket.disconnect(),
    connection: () => socket.disconnect(true),
    engine: () => socket.conn.close(),
    discard: () => socket.conn.close(true),
  })
})
engine.on('connection', (socket) => {
  const peer = new EnginePeer(socket, ...own(socket.id), onBytes)
  keep(socket.id, follow(socket, 'engine.io'), peer, {
    engine: () => socket.close(),
    discard: () => socket.close(true),
  })
})

function onBytes(bytes) {
  if (!isCalm) transfers?.take(bytes)
}

const sending = setInterval(() => {
  if (isCalm) return
  for (const { peer } of peers.values()) {
    if (!random.chance(0.06)) continue
    // Bursts fill the queues.
    const count = random.chance(0.01) ? random.between(20, 300) : random.between(1, 4)
    for (let sent = 0; sent < count; sent++) peer.send()
  }
  if (random.chance(0.2)) {
    const { number, sum, payload } = news.next()
    io.emit('news', number, sum, payload)
  }
}, 20)

answer({
  /** Blocks the event loop. */
  block(ms) {
    const end = performance.now() + ms
    while (performance.now() < end);
  },

  /** Closes some connections, each in one of the possible ways. */
  close(count) {
    for (let closed = 0; closed < count && peers.size > 0; closed++) {
      const { close } = random.pick([...peers.values()])
      close[random.pick(Object.keys(close))]()
    }
  },

  /** Stops the server's own messages and disturbances. */
  calm() {
    isCalm = true
    clearInterval(sending)
    transfers?.check()
  },

  figures() {
    const { sessions: own, ...stats } = io.engine.stats()
    return {
      ...holdings(),
      clients: own + engine.clientsCount,
      sockets: io.sockets.sockets.size,
      stats,
      transferred: transfers?.counts,
    }
  },

  /** The final counters of every session. */
  sessions: () => ({ all: [...sessions], reasons }),

  /** Ends everything; the process must then end by itself. */
  async shut() {
    await transfers?.end()
    process.removeAllListeners('disconnect')
    engine.close()
    const closed = io.close()
    server.closeIdleConnections()
    await closed
    setImmediate(() => process.disconnect())
  },
})

server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
