import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { DefaultEventsMap, Server, ServerOptions } from 'socket.io'

/**
 * Runs Socket.IO on an HTTP server: the official `Server` of the package `socket.io`, on upwire's
 * engine. It does what `new Server(server, options)` does, and our path's upgrades are seen by
 * nobody else.
 *
 * A second call for the same server and path gives the same `Server`; other options are ignored
 * then, with the warning `UPWIRE_ATTACHED`, and a listener for `connection` or a middleware that reads
 * like one of before takes its place, so that a route may make the call at each request. After
 * `io.close()` a new `Server` is made.
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @example
 * const io = attach<ClientToServerEvents, ServerToClientEvents>(server, { path: '/socket.io' })
 *
 * @param setup adds the app's handlers. A later call with a function that reads differently, as after an
 *   edit under `next dev`, takes away what this one has added; the clients then reconnect to the new
 *   handlers.
 *
 * @throws `ERR_UPWIRE_INVALID_SERVER` when `server` is no HTTP server
 * @throws `ERR_UPWIRE_INVALID_OPTION` when an option has a wrong type or is out of range
 * @throws `ERR_UPWIRE_UNSUPPORTED_OPTION` when an option asks for what upwire does not have yet
 * @throws `ERR_UPWIRE_PATH_IN_USE` when another engine of this server has the path
 * @throws `ERR_UPWIRE_SOCKET_IO_MISSING` when the package `socket.io` is not installed
 */
declare function attach<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(
  server: HttpServer | HttpsServer,
  options?: AttachOptions,
  setup?: Setup<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
): AttachedServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData>

/** The official `Server`, with upwire's engine. */
type AttachedServer<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
> = { readonly engine: Engine } & Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>

/**
 * Adds handlers to a socket.io server: those that it adds until it returns, or until its promise
 * resolves. A function that it returns, or resolves with, is called when another setup takes its place.
 * When it throws or rejects, what it has added is taken away, and the next call runs it again. What one adds
 * that was replaced before its promise resolved stays.
 */
type Setup<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
> = (io: AttachedServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => unknown

/**
 * An Engine.IO server, without Socket.IO: engine.io's `Server`. `io.bind(engine)` puts a socket.io
 * `Server` on it.
 *
 * @example
 * const engine = new Engine({ pingInterval: 10_000 })
 * engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
 * engine.attach(server, { path: '/engine.io' })
 */
declare class Engine extends TypedEmitter<EngineEvents> {
  /**
   * @throws `ERR_UPWIRE_INVALID_OPTION` when an option has a wrong type or is out of range
   * @throws `ERR_UPWIRE_UNSUPPORTED_OPTION` when an option asks for what upwire does not have yet
   */
  constructor(options?: EngineOptions)

  /** The codes of `connection_error`. */
  static readonly errors: {
    readonly UNKNOWN_TRANSPORT: 0
    readonly UNKNOWN_SID: 1
    readonly BAD_HANDSHAKE_METHOD: 2
    readonly BAD_REQUEST: 3
    readonly FORBIDDEN: 4
    readonly UNSUPPORTED_PROTOCOL_VERSION: 5
  }

  /** The texts that go with {@link Engine.errors}. */
  static readonly errorMessages: Readonly<Record<ConnectionErrorCode, string>>

  /** The options, checked, with their defaults. */
  readonly opts: EngineOptions

  /** The sessions by id. */
  readonly clients: Record<string, EngineSocket>

  /** How many sessions there are. */
  readonly clientsCount: number

  /** Adds an Express-style middleware for every request and upgrade on this engine's path. */
  use(middleware: Middleware): void

  /**
   * Makes the id of a session: 20 characters of `[A-Za-z0-9_-]`, 120 random bits. It may be
   * replaced; the id must be unique, of 1 to 256 characters, without control characters.
   */
  generateId(request?: EngineRequest): string | PromiseLike<string>

  /**
   * Takes the requests and upgrades of one path of an HTTP server.
   * @throws `ERR_UPWIRE_PATH_IN_USE` when another engine of this server has the path
   */
  attach(server: HttpServer | HttpsServer, options?: PathOptions): void

  /** Handles a polling request; for servers that route requests themselves. */
  handleRequest(request: IncomingMessage, response: ServerResponse): void

  /** Handles an upgrade; for servers that route upgrades themselves. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void

  /** Counters. */
  stats(): EngineStats

  /**
   * Closes the engine little by little, so that its clients do not all reconnect at once. From the call on
   * handshakes get 503, while requests of sessions pass. `rate` sessions a second are closed: what was
   * sent to them goes out first, then a WebSocket gets a close frame 1001, and a poll a close packet. At the
   * deadline, or when none is left, the engine closes; `close()` ends it early.
   *
   * Resolves when the engine is closed. Until the server listens again further calls return the same promise.
   *
   * @throws `ERR_UPWIRE_INVALID_OPTION` when an option has a wrong type or is out of range
   */
  drain(options?: DrainOptions): Promise<DrainResult>

  /**
   * Closes all sessions: a parked poll gets a close packet, a WebSocket a close frame 1001. What
   * waits to be sent is dropped. Handshakes get 503 until the server listens again.
   */
  close(): this
}

/** A session of an {@link Engine}: engine.io's `Socket`, and socket.io's `socket.conn`. */
declare class EngineSocket extends TypedEmitter<EngineSocketEvents> {
  private constructor()

  /** The session's id. Who knows it can act as the client. */
  readonly id: string

  readonly server: Engine

  /** The request that opened the session. May be set to `null` to free its memory. */
  request: EngineRequest | null

  /** The version of the Engine.IO protocol. */
  readonly protocol: 4

  /**
   * The address of the TCP peer, as it was at the handshake; with `trustProxy` that of the client behind
   * the proxies.
   */
  readonly remoteAddress: string | undefined

  readonly readyState: ReadyState

  /** The transport in use. */
  readonly transport: Transport

  /** Whether a WebSocket is being probed for an upgrade. */
  readonly upgrading: boolean

  /** Whether the session has moved from polling to WebSocket. */
  readonly upgraded: boolean

  /**
   * Stands for what waits to be sent: its length is right, the messages themselves are native. In
   * `close` listeners it has the length of what was not sent.
   */
  readonly writeBuffer: readonly Packet[]

  /**
   * Sends a message. All that one session sends leaves in call order. Binary data is copied.
   * @param callback is called with the transport when the message has left
   */
  send(data: Data, options?: SendOptions, callback?: SendCallback): this
  send(data: Data, callback: SendCallback): this

  /** Alias of {@link EngineSocket.send}. */
  write(data: Data, options?: SendOptions, callback?: SendCallback): this
  write(data: Data, callback: SendCallback): this

  /**
   * Closes the session, with the reason `forced close`. What was sent before goes out first, within
   * `closeTimeout`; on polling the close waits at most 30 s for the GET that fetches it.
   * @param discard drops what waits and closes at once
   */
  close(discard?: boolean): this
}

/** The transport of a session. */
interface Transport extends EventEmitter {
  readonly name: TransportName
  readonly sid: string
  readonly protocol: 4
  readonly readyState: ReadyState

  /** Whether a volatile packet would be sent now. */
  readonly writable: boolean

  /** Whether the session has moved on to another transport. */
  readonly discarded: boolean

  /** Of a WebSocket: what there is to ask about the connection. */
  readonly socket:
    | {
        /** Bytes that wait to be sent, beyond the kernel's. */
        readonly bufferedAmount: number
        readonly _socket: { readonly remoteAddress: string | undefined }
      }
    | undefined
}

type TransportName = 'polling' | 'websocket'
type ReadyState = 'open' | 'closing' | 'closed'
type Data = string | ArrayBufferView | ArrayBufferLike
type SendCallback = (transport: Transport) => void

interface SendOptions {
  /** Taken, and without effect as long as there is no compression. */
  compress?: boolean
}

/** An Engine.IO packet, as the events show it. */
interface Packet {
  type: 'ping' | 'pong' | 'message'
  data?: Data
  options?: SendOptions
}

/** A request on the engine's path. */
interface EngineRequest extends IncomingMessage {
  /** The query; of repeated names the last value. */
  _query: Record<string, string>
  res?: ServerResponse
}

/** An Express-style middleware. On an upgrade the response's headers go into the 101. */
type Middleware = (
  request: EngineRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => unknown

/** Which requests are the engine's. */
interface PathOptions {
  /**
   * Path of the requests, compared with the beginning of the URL as it is.
   * @default "/socket.io" with `attach()`, "/engine.io" with `Engine`
   */
  path?: string

  /**
   * Whether the path ends in a slash.
   * @default true
   */
  addTrailingSlash?: boolean

  /**
   * Whether an upgrade that nobody answers is answered with 404.
   * @default true
   */
  destroyUpgrade?: boolean

  /**
   * Milliseconds after which it is.
   * @default 1000
   */
  destroyUpgradeTimeout?: number
}

/**
 * Features of engine.io that upwire does not have yet. Asking for one throws
 * `ERR_UPWIRE_UNSUPPORTED_OPTION`.
 */
interface UnsupportedOptions {
  allowEIO3?: false
  cookie?: false
  httpCompression?: false
  initialPacket?: false
  maxDeflateContexts?: false
  perMessageDeflate?: false
  wsEngine?: false
}

/** `'*'`, an origin, or an expression that origins match. */
type OriginEntry = string | RegExp

/** Options of an {@link Engine}. */
interface EngineOptions extends PathOptions, UnsupportedOptions {
  /**
   * Decides whether a handshake may become a session; not asked for later requests of a session,
   * nor where the Origin is refused. One that throws or rejects counts as a refusal (403).
   */
  allowRequest?: (
    request: EngineRequest,
    decide: (message: string | null | undefined, success: boolean) => void,
  ) => void | Promise<void>

  /**
   * Whether polling sessions are offered the upgrade to WebSocket.
   * @default true
   */
  allowUpgrades?: boolean

  /**
   * Origins whose pages may talk to the engine beside its own (403 for others): `'*'` for any,
   * origins such as `"https://app.example"`, expressions that are tested against the whole origin,
   * or a function that is asked about each request with an Origin that is not the engine's own.
   * `[]` allows no others. `cors` sets headers alone where this is given.
   * @default what `cors.origin` allows
   */
  allowedOrigins?:
    | OriginEntry
    | readonly OriginEntry[]
    | ((origin: string, request: EngineRequest) => boolean | Promise<boolean>)

  /**
   * Milliseconds a peer may take to answer our close frame before it is reset.
   * @default 3000
   */
  closeTimeout?: number

  /**
   * Options of the package `cors`, which runs as a middleware on both transports. Its `origin`
   * also decides who may talk to the engine, unless there are `allowedOrigins`.
   * @default false
   */
  cors?: boolean | ServerOptions['cors']

  /**
   * Milliseconds that middlewares, `allowedOrigins`, `allowRequest` and `generateId` may take
   * together (503).
   * @default 20000
   */
  handshakeTimeout?: number

  /**
   * I/O threads, 1 to 64. All engines of a Node environment share them: the first one decides.
   * @default 1
   */
  ioThreads?: number

  /**
   * Levels of arrays and objects in a Socket.IO packet's JSON (parse error); the array of an event is one.
   * 0 is any number.
   * @default 1000 with `attach()`; 0 with `Engine`, and where there is a `parser`
   */
  maxDepth?: number

  /**
   * Frames of one WebSocket message, empty ones counted (close 1008).
   * @default 16384
   */
  maxFragments?: number

  /**
   * Handshakes that each address may begin in a second, and twice as many at once (503). 0 is any number.
   * @default 0
   */
  maxHandshakeRate?: number

  /**
   * Bytes of one message or POST body (close 1009, or 413).
   * @default 1000000
   */
  maxHttpBufferSize?: number

  /**
   * Milliseconds without a turn of the event loop after which pings stop. The first engine of a
   * Node environment decides.
   * @default 30000
   */
  maxLoopStall?: number

  /**
   * Messages that a session may bring in a second, and twice as many at once (close 1008). A binary
   * attachment is one more. 0 is any number.
   * @default 0
   */
  maxMessageRate?: number

  /**
   * Handshakes that wait for middlewares, `allowedOrigins`, `allowRequest` or `generateId` (503).
   * @default 16384
   */
  maxPendingHandshakes?: number

  /**
   * Pongs that wait to be sent to one peer; beyond that only the newest is kept.
   * @default 60
   */
  maxPendingPongs?: number

  /**
   * Bytes of one connection's messages that JavaScript has not taken; reading stops there, until
   * half of it.
   * @default twice maxHttpBufferSize, at least 1 MiB
   */
  maxReceiveQueue?: number

  /**
   * Bytes that may wait for one peer when the next message is sent; see `slowConsumer`. 0 is none.
   * @default 16777216
   */
  maxSendBuffer?: number

  /**
   * Sessions of this engine, and handshakes that may become one (503). 0 is any number.
   * @default 100000
   */
  maxSessions?: number

  /**
   * Sessions of one address, and handshakes that may become one (503). 0 is any number. IPv6 addresses
   * count by their first 64 bits. Behind a proxy it needs `trustProxy`.
   * @default 0
   */
  maxSessionsPerAddress?: number

  /**
   * Bytes of all connections' messages that JavaScript has not taken; the largest stop first. The
   * first engine of a Node environment decides.
   * @default 67108864
   */
  maxTotalReceiveQueue?: number

  /**
   * Bytes that wait for all peers; the longest queue is closed. 0 is none. The first engine of a
   * Node environment decides.
   * @default a quarter of the memory this process may use, at least 256 MiB
   */
  maxTotalSendBuffer?: number

  /**
   * Milliseconds between a pong and the next ping.
   * @default 25000
   */
  pingInterval?: number

  /**
   * Milliseconds a pong may take.
   * @default 20000
   */
  pingTimeout?: number

  /**
   * Whether a WebSocket must have an Origin (403). Browsers send one, other clients often none.
   * @default false
   */
  requireOrigin?: boolean

  /**
   * What becomes of a message that meets `maxSendBuffer`: it closes the session, or is dropped.
   * @default "close"
   */
  slowConsumer?: 'close' | 'drop'

  /**
   * The transports that clients may use.
   * @default ["polling", "websocket"]
   */
  transports?: readonly TransportName[]

  /**
   * Addresses of the proxies before the server, and blocks such as `"10.0.0.0/8"`. Of a request that one
   * of them has forwarded the client's address is read from `X-Forwarded-For`, or `Forwarded`.
   * @default []
   */
  trustProxy?: readonly string[] | false

  /**
   * Milliseconds a WebSocket may take to complete an upgrade.
   * @default 10000
   */
  upgradeTimeout?: number
}

/** Options of {@link attach}: those of the engine and those of socket.io in one object. */
interface AttachOptions
  extends EngineOptions,
    Partial<
      Pick<
        ServerOptions,
        | 'adapter'
        | 'cleanupEmptyChildNamespaces'
        | 'connectionStateRecovery'
        | 'connectTimeout'
        | 'parser'
        | 'serveClient'
      >
    > {}

/** Options of {@link Engine.drain}. */
interface DrainOptions {
  /**
   * Milliseconds after which the sessions that are left end at once.
   * @default 10000
   */
  deadline?: number

  /**
   * Sessions that are closed in a second, 1 to 1,000,000.
   * @default such that the last one is closed after four fifths of the deadline
   */
  rate?: number
}

/** What became of the sessions that {@link Engine.drain} has found. */
interface DrainResult {
  /** Closed one after the other. */
  closed: number
  /** Ended by themselves in the meantime. */
  left: number
  /** Ended at the deadline, or by `close()`. */
  forced: number
}

/** Events of an {@link Engine}, by name, with their arguments. */
interface EngineEvents {
  /** A session has opened. */
  connection: [socket: EngineSocket]
  /** A request was refused. */
  connection_error: [error: ConnectionError]
  /** Headers of the first answer of a session; may be changed. */
  initial_headers: [headers: Headers, request: EngineRequest]
  /** Headers of an answer; may be changed. */
  headers: [headers: Headers, request: EngineRequest]
  /** A session hands packets over. */
  flush: [socket: EngineSocket, packets: Packet[]]
  /** A session's packets have left. */
  drain: [socket: EngineSocket]
  /** A limit was met; at most ten a second and name. */
  limit: [limit: LimitReached]
  /** The engine closes; its sessions end after this. */
  shutdown: []
}

/** Events of an {@link EngineSocket}, by name, with their arguments. */
interface EngineSocketEvents {
  /** A message came; `undefined` when it was empty. */
  data: [data: string | Buffer | undefined]
  /** As `data`. */
  message: [data: string | Buffer | undefined]
  /** A packet came: a message, or a pong. */
  packet: [packet: Packet]
  /** A packet is to be sent: a message, or a ping. */
  packetCreate: [packet: Packet]
  /** A pong came. */
  heartbeat: []
  /** Packets are handed over. */
  flush: [packets: Packet[]]
  /** They have left. */
  drain: []
  /** A WebSocket is being probed. */
  upgrading: [transport: Transport]
  /** The WebSocket is now the transport. */
  upgrade: [transport: Transport]
  /** The session is over; emitted once. */
  close: [reason: CloseReason, description?: CloseError]
}

type Headers = Record<string, string | number | readonly string[]>

type ConnectionErrorCode = 0 | 1 | 2 | 3 | 4 | 5

/** Why a request was refused. */
interface ConnectionError {
  req: EngineRequest
  /** One of {@link Engine.errors}. */
  code: ConnectionErrorCode
  message: string
  /** More about it; `name` tells cases of one code apart, `error` is what the app's code threw. */
  context?: { name?: string; message?: string; error?: unknown; [detail: string]: unknown }
}

/** Why a session ended. */
type CloseReason =
  | 'transport error'
  | 'transport close'
  | 'forced close'
  | 'ping timeout'
  | 'parse error'

/** What is known about the end of a session beyond its reason. */
interface CloseError extends Error {
  code?: CloseErrorCode
  /** With the reason `transport error`. */
  type?: 'TransportError'
  description?: Error
  /** Status of the peer's close frame, or of the one it was sent. */
  wsCode?: number
  /** Reason in the peer's close frame. */
  wsReason?: string
  /** Number of the failed system call's error. */
  errno?: number
  /** Name of the limit that was met. */
  limit?: string
  /** Its value. */
  value?: number
}

/** A limit that was met. */
interface LimitReached {
  /** Name of the option. */
  name: string
  /** Its value. */
  limit: number
  /** What it was compared with. */
  value: number
  /** What happened. */
  action: 'closed' | 'refused' | 'dropped' | 'paused'
  /** The session, if there is one. */
  sid: string | undefined
  remoteAddress: string | undefined
}

/** Counters of an {@link Engine}, and of the Node environment that it runs in. */
interface EngineStats {
  /** Sessions that are open. */
  sessions: number
  /** Handshakes that wait for middlewares, `allowRequest` or `generateId`. */
  pendingHandshakes: number
  /** Memory of what clients have sent ahead of the answer to their upgrade, in the environment. */
  earlyBytes: number
  /**
   * WebSockets of the environment that JavaScript streams carry: over TLS, or because there was no free
   * descriptor.
   */
  streams: number
  /** How often limits were met: `"maxSendBuffer closed": 2`. */
  limits: Record<string, number>
  /** Bytes that wait for all peers of the environment. */
  unsent: number
  /** Memory of what clients have sent and JavaScript has not taken, in the environment. */
  undelivered: number
  /** Memory of messages and POST bodies that clients have begun and not finished, in the environment. */
  unfinished: number
  /** Panics of the environment's I/O threads that were caught. */
  panics: number
}

/** `code` of the errors that upwire throws. */
type ErrorCode =
  | 'ERR_UPWIRE_ATTACHED'
  | 'ERR_UPWIRE_EDGE'
  | 'ERR_UPWIRE_INTERNAL'
  | 'ERR_UPWIRE_INVALID_CONFIG'
  | 'ERR_UPWIRE_INVALID_OPTION'
  | 'ERR_UPWIRE_INVALID_SERVER'
  | 'ERR_UPWIRE_NATIVE_MISSING'
  | 'ERR_UPWIRE_NEXT_WORKERS'
  | 'ERR_UPWIRE_NOT_REGISTERED'
  | 'ERR_UPWIRE_NOT_RUNNING'
  | 'ERR_UPWIRE_PATH_IN_USE'
  | 'ERR_UPWIRE_SERVERLESS'
  | 'ERR_UPWIRE_SOCKET_IO_MISSING'
  | 'ERR_UPWIRE_UNSUPPORTED_OPTION'

/** `code` of the `description` of a `close` event. */
type CloseErrorCode =
  | 'ERR_UPWIRE_CLOSE_TIMEOUT'
  | 'ERR_UPWIRE_CONNECTION_ENDED'
  | 'ERR_UPWIRE_CONNECTION_LOST'
  | 'ERR_UPWIRE_HEARTBEAT_DIRECTION'
  | 'ERR_UPWIRE_INTERNAL'
  | 'ERR_UPWIRE_INVALID_CONTENT'
  | 'ERR_UPWIRE_INVALID_FRAME'
  | 'ERR_UPWIRE_INVALID_PACKET'
  | 'ERR_UPWIRE_INVALID_UTF8'
  | 'ERR_UPWIRE_MAX_DEPTH'
  | 'ERR_UPWIRE_MESSAGE_RATE'
  | 'ERR_UPWIRE_OVERLAP'
  | 'ERR_UPWIRE_PAYLOAD_TOO_LARGE'
  | 'ERR_UPWIRE_PEER_CLOSED'
  | 'ERR_UPWIRE_PING_TIMEOUT'
  | 'ERR_UPWIRE_SHUTDOWN'
  | 'ERR_UPWIRE_SLOW_CONSUMER'
  | 'ERR_UPWIRE_SLOW_PRODUCER'
  | 'ERR_UPWIRE_TOO_MANY_FRAGMENTS'
  | 'ERR_UPWIRE_UNDELIVERABLE'

/** `code` of the warnings that `process` emits, with the name `UpwireWarning`. */
type WarningCode =
  | 'ERR_UPWIRE_NEXT_WORKERS'
  | 'ERR_UPWIRE_SERVERLESS'
  | 'UPWIRE_ALLOW_REQUEST'
  | 'UPWIRE_ATTACHED'
  | 'UPWIRE_BUNDLED'
  | 'UPWIRE_LIMIT'
  | 'UPWIRE_MAX_MESSAGE'
  | 'UPWIRE_NEXT_WORKERS'
  | 'UPWIRE_NOT_REGISTERED'
  | 'UPWIRE_NO_SERVER'
  | 'UPWIRE_OLD_PACKAGE'
  | 'UPWIRE_ORIGIN'
  | 'UPWIRE_PATH'
  | 'UPWIRE_SHARED_OPTION'

/** As in socket.io: names of events and the functions that listen for them. */
interface EventsMap {
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  [event: string]: any
}

// biome-ignore lint/suspicious/noExplicitAny: events of the app's own may carry anything
type AnyListener = (...args: any[]) => void

type Listener<Events extends EventArguments<Events>, Name> = Name extends keyof Events
  ? (...args: Events[Name]) => void
  : AnyListener

type EventArguments<Events> = { [Name in keyof Events]: unknown[] }

type EventName<Events> = keyof Events | (string & {}) | symbol

/** An EventEmitter that knows its events. The app may add others. */
declare class TypedEmitter<Events extends EventArguments<Events>> extends EventEmitter {
  on<Name extends EventName<Events>>(event: Name, listener: Listener<Events, Name>): this
  once<Name extends EventName<Events>>(event: Name, listener: Listener<Events, Name>): this
  off<Name extends EventName<Events>>(event: Name, listener: Listener<Events, Name>): this
  addListener<Name extends EventName<Events>>(event: Name, listener: Listener<Events, Name>): this
  removeListener<Name extends EventName<Events>>(
    event: Name,
    listener: Listener<Events, Name>,
  ): this
  prependListener<Name extends EventName<Events>>(
    event: Name,
    listener: Listener<Events, Name>,
  ): this
  prependOnceListener<Name extends EventName<Events>>(
    event: Name,
    listener: Listener<Events, Name>,
  ): this
}

export type {
  AttachOptions,
  AttachedServer,
  CloseError,
  CloseErrorCode,
  CloseReason,
  ConnectionError,
  ConnectionErrorCode,
  Data,
  DrainOptions,
  DrainResult,
  EngineEvents,
  EngineOptions,
  EngineRequest,
  EngineSocketEvents,
  EngineStats,
  ErrorCode,
  EventsMap,
  LimitReached,
  Middleware,
  Packet,
  PathOptions,
  ReadyState,
  SendOptions,
  Setup,
  Transport,
  TransportName,
  WarningCode,
}
export { attach, Engine, EngineSocket }
