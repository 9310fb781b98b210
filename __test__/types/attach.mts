// attach() from an ES module: typed events, and the options of the engine and of socket.io in one object.

import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { Adapter } from 'socket.io-adapter'
import type { DefaultEventsMap, Server, Socket } from 'socket.io'
import { attach, type AttachOptions } from 'upwire'

const server = createServer()

interface ToServer {
  chat: (text: string, ack: (answer: 'ok') => void) => void
}

interface ToClient {
  chat: (from: string, text: string) => void
  image: (bytes: Uint8Array) => void
}

interface Between {
  ping: (at: number) => void
}

interface Member {
  name: string
}

const io = attach<ToServer, ToClient, Between, Member>(server, { path: '/chat' })
io satisfies Server<ToServer, ToClient, Between, Member>

io.on('connection', (socket) => {
  socket satisfies Socket<ToServer, ToClient, Between, Member>
  socket.on('chat', (text, ack) => {
    text satisfies string
    ack('ok')
    // @ts-expect-error the answer is 'ok'
    ack('no')
  })
  // @ts-expect-error clients do not send this event
  socket.on('shout', () => {})
  socket.data.name satisfies string
  // @ts-expect-error members have no age
  socket.data.age
})

io.to('room').emit('chat', 'Ada', 'hello')
io.emit('image', new Uint8Array(1))
// @ts-expect-error a text is missing
io.emit('chat', 'Ada')
// @ts-expect-error the server does not send this event
io.emit('shout')
io.serverSideEmit('ping', 1)
// @ts-expect-error a time is a number
io.serverSideEmit('ping', 'now')

// Its engine is upwire's.
io.engine.stats().sessions satisfies number
io.engine.on('limit', ({ name, value }) => {
  name satisfies string
  value satisfies number
})
io.engine.use((_req, _res, next) => next())
io.engine.clientsCount satisfies number

// Without type parameters, all events are allowed; a single one applies to both directions.
attach(server) satisfies Server<DefaultEventsMap, DefaultEventsMap>
attach<ToServer>(server) satisfies Server<ToServer, ToServer>
attach(createTlsServer())

const options: AttachOptions = {
  adapter: Adapter,
  addTrailingSlash: false,
  allowRequest: (request, decide) => decide(null, request.headers.origin !== undefined),
  allowUpgrades: true,
  allowedOrigins: ['https://app.example', /^https:\/\/\w+\.app\.example$/],
  cleanupEmptyChildNamespaces: true,
  closeTimeout: 1000,
  connectTimeout: 1000,
  connectionStateRecovery: { maxDisconnectionDuration: 1000 },
  cors: { origin: ['https://app.example'], credentials: true },
  destroyUpgrade: true,
  destroyUpgradeTimeout: 1000,
  handshakeTimeout: 1000,
  ioThreads: 2,
  maxFragments: 100,
  maxHttpBufferSize: 1e6,
  maxLoopStall: 1000,
  maxPendingHandshakes: 100,
  maxPendingPongs: 10,
  maxReceiveQueue: 1e6,
  maxSendBuffer: 0,
  maxTotalReceiveQueue: 1e6,
  maxTotalSendBuffer: 0,
  path: '/socket.io',
  pingInterval: 1000,
  pingTimeout: 1000,
  requireOrigin: true,
  serveClient: false,
  slowConsumer: 'drop',
  transports: ['polling', 'websocket'],
  upgradeTimeout: 1000,
}
attach(server, options)
attach(server, { cors: true })
attach(server, { allowRequest: async (_request, decide) => decide('no', false) })
attach(server, { transports: ['websocket'] as const })
attach(server, { allowedOrigins: '*' })
attach(server, {
  allowedOrigins: async (origin, request) => origin === `https://${request.headers.host}`,
})
// @ts-expect-error an array of origins has no functions
attach(server, { allowedOrigins: [() => true] })

attach(server, { perMessageDeflate: true, maxDeflateContexts: 10 })
attach(server, {
  perMessageDeflate: {
    threshold: 512,
    serverNoContextTakeover: false,
    clientMaxWindowBits: true,
    zlibDeflateOptions: { level: 1, chunkSize: 4096 },
  },
})
// @ts-expect-error a number of bytes
attach(server, { perMessageDeflate: { threshold: '1kb' } })

// Features of engine.io that upwire does not have yet may be switched off.
attach(server, { httpCompression: false })
attach(server, { allowEIO3: true })
// @ts-expect-error a boolean
attach(server, { allowEIO3: 3 })

// @ts-expect-error milliseconds are a number, not a string
attach(server, { pingInterval: '25s' })
// @ts-expect-error the values are 'close' and 'drop'
attach(server, { slowConsumer: 'wait' })
// @ts-expect-error a misspelt option
attach(server, { pingIntervall: 1000 })
