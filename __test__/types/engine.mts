// Engine and EngineSocket, without Socket.IO.

import { type EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { Server } from 'socket.io'
import {
  type CloseErrorCode,
  Engine,
  type EngineOptions,
  EngineSocket,
  type ErrorCode,
  type Transport,
  type WarningCode,
} from 'upwire'

const server = createServer()
const engine = new Engine({ pingInterval: 1000, ioThreads: 1 })

engine.attach(server, { path: '/engine.io', destroyUpgrade: false })
new Server().bind(engine)
engine satisfies EventEmitter

// @ts-expect-error only the constructor takes timeouts
engine.attach(server, { pingInterval: 1000 })
// @ts-expect-error an engine has no options of socket.io
new Engine({ serveClient: false })

engine.use((request, response, next) => {
  response.setHeader('x-transport', request._query.transport ?? '')
  next()
})
engine.generateId = () => 'own'
engine.generateId = async (request) => `own-${request?.headers.host}`
// @ts-expect-error an id is a string
engine.generateId = () => 1

engine.clientsCount satisfies number
engine.clients.id satisfies EngineSocket | undefined
engine.opts satisfies EngineOptions
engine.close() satisfies Engine
engine
  .drain({ deadline: 1000, rate: 10 })
  .then(({ closed, left, forced }) => closed + left + forced)
// @ts-expect-error a rate is a number
engine.drain({ rate: '10' })
new Engine({ trustProxy: ['10.0.0.0/8'], maxSessions: 5, maxDepth: 5, maxMessageRate: 5 })
// @ts-expect-error the proxies are an array
new Engine({ trustProxy: '10.0.0.0/8' })
engine.stats().limits['maxSendBuffer closed'] satisfies number | undefined
Engine.errors.FORBIDDEN satisfies 4
Engine.errorMessages[4] satisfies 'Forbidden'
// @ts-expect-error no such code
Engine.errorMessages[6]

// The functions and the constant of engine.io's module are statics here.
Engine.protocol satisfies 4
Engine.attach(server, { path: '/engine.io', pingInterval: 1000 }) satisfies Engine
Engine.listen(3000, { pingInterval: 1000 }, () => {}) satisfies Engine
Engine.listen(3000, () => {}).httpServer?.close()
// @ts-expect-error a port is a number
Engine.listen('3000')
// @ts-expect-error the HTTP server is read-only
engine.httpServer = server
engine.upgrades('polling') satisfies ('polling' | 'websocket')[]
// @ts-expect-error there is no WebTransport
engine.upgrades('webtransport')

declare const request: IncomingMessage
declare const duplex: Duplex
engine.handleUpgrade(request, duplex, Buffer.alloc(0))
// @ts-expect-error the argument `head` is missing
engine.handleUpgrade(request, duplex)

engine.on('connection', (socket) => {
  socket satisfies EngineSocket
  socket.id satisfies string
  socket.protocol satisfies 3 | 4
  socket.request = null
  socket.transport.name satisfies 'polling' | 'websocket'
  socket.writeBuffer.length satisfies number
  // @ts-expect-error the state is read-only
  socket.readyState = 'closed'

  socket.send('text').send(new Uint8Array(1)).send(new ArrayBuffer(1), { compress: false })
  socket.write('text', (transport) => transport.name)
  socket.write('text', {}, (transport) => transport.writable)
  // @ts-expect-error objects need socket.io's encoder
  socket.send({ text: 'hello' })
  socket.close().close(true)

  socket.on('message', (data) => {
    data satisfies string | Buffer | undefined
  })
  socket.once('upgrade', (transport) => transport.discarded)
  socket.on('packetCreate', ({ type, data, options }) => [type, data, options?.compress])
  socket.on('close', (reason, description) => {
    if (reason === 'transport error') description?.type satisfies 'TransportError' | undefined
    description?.code satisfies CloseErrorCode | undefined
    description?.wsCode satisfies number | undefined
    // @ts-expect-error engine.io has no such reason
    return reason === 'timeout'
  })
  // @ts-expect-error messages are text or bytes
  socket.on('message', (data: number) => data)
})

// The transport has engine.io's public members and events.
declare const transport: Transport
transport.name satisfies 'polling' | 'websocket'
transport.sid satisfies string
transport.protocol satisfies 3 | 4
transport.readyState satisfies 'open' | 'closing' | 'closed'
transport.writable satisfies boolean
transport.discarded satisfies boolean
transport.close()
transport.on('drain', () => {}).once('close', () => {}) satisfies Transport
// @ts-expect-error `close` has no arguments
transport.once('close', (reason: string) => reason)
// @ts-expect-error the state is read-only
transport.readyState = 'closed'
const webSocket = transport.socket
webSocket?.bufferedAmount satisfies number | undefined
webSocket?.readyState satisfies 1 | 3 | undefined
webSocket?._socket.remoteAddress satisfies string | undefined
webSocket?.terminate()
// @ts-expect-error messages are sent by the session
webSocket?.send('text')

engine.on('connection_error', ({ req, code, message, context }) => {
  req.url satisfies string | undefined
  code satisfies 0 | 1 | 2 | 3 | 4 | 5
  message satisfies string
  context?.error satisfies unknown
})
engine.on('initial_headers', (headers) => {
  headers['set-cookie'] = ['a=1', 'b=2']
})
engine.on('limit', ({ name, limit, value, action }) => [name, limit + value, action === 'paused'])
// @ts-expect-error a connection is a socket
engine.on('connection', (socket: number) => socket)

// Events of the app itself.
engine.on('mine', (value: number) => value)
await once(engine, 'connection')

// @ts-expect-error only an engine makes sockets
new EngineSocket()

const known: ErrorCode[] = ['ERR_UPWIRE_PATH_IN_USE', 'ERR_UPWIRE_INVALID_OPTION']
// @ts-expect-error no such code
known.push('ERR_UPWIRE_OTHER')
const warning: WarningCode = 'UPWIRE_LIMIT'
warning satisfies string

// engine.io's exports.
const { Server: EngineServer, Socket, Transport: TransportClass } = Engine
new EngineServer() satisfies Engine
Socket satisfies typeof EngineSocket
engine.on('connection', (socket) => {
  socket.transport instanceof TransportClass
  socket.transport.close(() => {})
  socket.transport.on('packet', ({ type }) => type satisfies 'ping' | 'pong' | 'message')
  socket.transport.socket?.on(
    'close',
    (code, reason) => `${code satisfies number} ${reason.length}`,
  )
  socket.transport.socket?.ping('data', false, (error) => error?.message)
  socket.transport.socket?._socket.localPort satisfies number | undefined
  socket.writeBuffer.push({ type: 'message', data: 'text' }) satisfies number
  // @ts-expect-error messages in native memory cannot be taken back
  socket.writeBuffer.shift()
})
