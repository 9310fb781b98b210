import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Http2SecureServer, Http2Server } from 'node:http2'
import type { Server as HttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { ZlibOptions } from 'node:zlib'
import type { DefaultEventsMap, Server, ServerOptions } from 'socket.io'

/**
 * Runs Socket.IO on an HTTP server: the official `Server` of the package `socket.io`, on upwire's
 * engine. It replaces `new Server(server, options)`. No other listener of the HTTP server receives requests and
 * upgrades of upwire's path, except those that are prepended after `attach`.
 *
 * A second call for the same server and path returns the same `Server`. If its options differ, they are
 * ignored with the warning `UPWIRE_ATTACHED`. A route may make the call at each request: a listener or
 * middleware that is added after the second call replaces an earlier one with the same source. After
 * `io.close()`, a call makes a new `Server`.
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @example
 * const io = attach<ClientToServerEvents, ServerToClientEvents>(server, { path: '/socket.io' })
 *
 * @param server an HTTP or HTTPS server, listening or not
 * @param options those of the engine and those of socket.io, in one object. Socket.io's own type is taken too;
 *   an option that asks for a feature that upwire does not have then compiles, and throws at run time.
 * @param setup adds the app's handlers. If a later call passes a function with another source, as after
 *   an edit under `next dev`, the handlers that this one has added are removed, the new function runs,
 *   and the clients reconnect to its handlers.
 *
 * @throws `ERR_UPWIRE_INVALID_SERVER` if `server` is not an HTTP server
 * @throws `ERR_UPWIRE_INVALID_OPTION` if an option has a wrong type or is out of range
 * @throws `ERR_UPWIRE_UNSUPPORTED_OPTION` if an option asks for a feature that upwire does not have yet
 * @throws `ERR_UPWIRE_PATH_IN_USE` if another engine of this server has the path
 * @throws `ERR_UPWIRE_SOCKET_IO_MISSING` if the package `socket.io` is not installed
 * @throws the errors that `setup` throws
 */
declare function attach<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(
  server: NodeServer,
  options?: AttachOptions | StockOptions,
  setup?: Setup<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
): AttachedServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData>

/** A server of one of Node's modules. Engine.IO needs HTTP/1.1, which an HTTP/2 server speaks with `allowHTTP1`. */
type NodeServer = HttpServer | HttpsServer | Http2Server | Http2SecureServer

/** socket.io's `Server`, with upwire's engine. */
type AttachedServer<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
> = { readonly engine: Engine } & Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>

/**
 * Adds an app's handlers to a socket.io server. An asynchronous setup may add handlers until its promise
 * resolves. The function that it returns or resolves with, if any, is called when another setup replaces
 * it.
 *
 * If it throws or rejects, the handlers that it has added are removed, and the next call runs it again.
 * If it is replaced before its promise resolves, the handlers that it adds afterwards stay.
 */
type Setup<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
> = (
  io: AttachedServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
) => SetupResult | Promise<SetupResult>

/** Nothing, or a function that cleans up when another setup replaces the one that has returned it. */
// biome-ignore lint/suspicious/noConfusingVoidType: a setup without a `return` returns void
type SetupResult = void | (() => void)

/**
 * An Engine.IO server without Socket.IO: engine.io's `Server`. `io.bind(engine)` puts a socket.io
 * `Server` on it.
 *
 * @example
 * const engine = new Engine({ pingInterval: 10_000 })
 * engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
 * engine.attach(server, { path: '/engine.io' })
 */
declare class Engine extends TypedEmitter<EngineEvents> {
  /**
   * @throws `ERR_UPWIRE_INVALID_OPTION` if an option has a wrong type or is out of range
   * @throws `ERR_UPWIRE_UNSUPPORTED_OPTION` if an option asks for a feature that upwire does not have yet
   */
  constructor(options?: EngineOptions)

  /**
   * Makes an engine and attaches it to an HTTP server: the function `attach()` of engine.io.
   * @throws as the constructor and {@link Engine.attach}
   */
  static attach(server: NodeServer, options?: EngineOptions): Engine

  /**
   * Makes an engine on an HTTP server of its own, {@link Engine.httpServer}, and listens: the function
   * `listen()` of engine.io. Requests on other paths get 501.
   * @param callback called when the server listens
   * @throws as the constructor
   */
  static listen(port: number, options?: EngineOptions, callback?: () => void): Engine
  static listen(port: number, callback?: () => void): Engine

  /** The version of the Engine.IO protocol: the constant `protocol` of engine.io. */
  static readonly protocol: 4

  /** engine.io's export `Server`: this class. `const { Server, listen } = Engine` replaces the package. */
  static readonly Server: typeof Engine

  /** engine.io's export `Socket`, for `instanceof`. */
  static readonly Socket: typeof EngineSocket

  /** engine.io's export `Transport`, for `instanceof`. */
  static readonly Transport: abstract new () => Transport

  /** engine.io's export `transports`. Both are the class {@link Engine.Transport}. */
  static readonly transports: Readonly<Record<TransportName, abstract new () => Transport>>

  /** Throws `ERR_UPWIRE_UNSUPPORTED`: packets are handled in native code. Use `engine.io-parser`. */
  static readonly parser: never

  /** Throws `ERR_UPWIRE_UNSUPPORTED`: the engine runs on servers of `node:http`. */
  static readonly uServer: never

  /** The codes of `connection_error`. */
  static readonly errors: {
    readonly UNKNOWN_TRANSPORT: 0
    readonly UNKNOWN_SID: 1
    readonly BAD_HANDSHAKE_METHOD: 2
    readonly BAD_REQUEST: 3
    readonly FORBIDDEN: 4
    readonly UNSUPPORTED_PROTOCOL_VERSION: 5
  }

  /** The messages of {@link Engine.errors}, by code. */
  static readonly errorMessages: {
    readonly 0: 'Transport unknown'
    readonly 1: 'Session ID unknown'
    readonly 2: 'Bad handshake method'
    readonly 3: 'Bad request'
    readonly 4: 'Forbidden'
    readonly 5: 'Unsupported protocol version'
  }

  /**
   * The options, checked, with their defaults. A change of one that native code has throws
   * `ERR_UPWIRE_UNSUPPORTED`: the limits that sessions have, `allowEIO3`, `perMessageDeflate`, `transports`.
   */
  readonly opts: EngineOptions

  /** The open sessions by id. */
  readonly clients: Record<string, EngineSocket>

  /** The number of open sessions. */
  readonly clientsCount: number

  /** The HTTP server that {@link Engine.listen} has made. */
  readonly httpServer?: HttpServer

  /**
   * Refused: there is no WebTransport.
   * @throws `ERR_UPWIRE_UNSUPPORTED`
   */
  onWebTransportSession(...args: unknown[]): never

  /** The transports that a session on the given transport may upgrade to. */
  upgrades(transport: TransportName): TransportName[]

  /** Adds an Express-style middleware for every request and upgrade on this engine's path. */
  use(middleware: Middleware): void

  /**
   * Generates the id of a session: 20 characters of `[A-Za-z0-9_-]`, with 120 random bits. An app may
   * replace it. An id must be unique and have 1 to 256 characters, none of them a control character.
   */
  generateId(request?: EngineRequest): string | PromiseLike<string>

  /**
   * Claims a path of an HTTP server: its requests and upgrades come to this engine. An engine may be
   * attached to several servers.
   * @throws `ERR_UPWIRE_PATH_IN_USE` if another engine of this server has the path
   * @throws `ERR_UPWIRE_INVALID_OPTION` if an option has a wrong type or is out of range
   */
  attach(server: NodeServer, options?: PathOptions): void

  /** Handles a polling request, for servers that route requests themselves. */
  handleRequest(request: IncomingMessage, response: ServerResponse): void

  /** Handles an upgrade, for servers that route upgrades themselves. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void

  /** Returns counters of this engine and of the Node environment that it runs in. */
  stats(): EngineStats

  /** Returns the engine's state for bug reports: a plain object, without session ids. */
  debugState(): EngineDebugState

  /**
   * Closes the engine gradually, so that its clients do not all reconnect at once. Handshakes get 503
   * from the call on, while requests of open sessions pass. `rate` sessions are closed per second: the
   * messages that wait for a client go out first, then a WebSocket gets a close frame 1001, and a polling
   * client a close packet. The engine closes at the deadline, or when no session is left. `close()`
   * ends the drain early.
   *
   * Resolves when the engine is closed. Further calls return the same promise until the server listens
   * again.
   *
   * @throws `ERR_UPWIRE_INVALID_OPTION` if an option has a wrong type or is out of range
   */
  drain(options?: DrainOptions): Promise<DrainResult>

  /**
   * Closes all sessions: a parked poll gets a close packet, a WebSocket a close frame 1001. Messages that
   * wait to be sent are dropped. Handshakes get 503 until the server listens again.
   */
  close(): this
}

/** A session of an {@link Engine}: engine.io's `Socket`, and socket.io's `socket.conn`. */
declare class EngineSocket extends TypedEmitter<EngineSocketEvents> {
  private constructor()

  /** The session's id. Anyone who has it can impersonate the client. */
  readonly id: string

  /** The engine that the session belongs to. */
  readonly server: Engine

  /** The request that opened the session. Set it to `null` to free its memory. */
  request: EngineRequest | null

  /** The version of the Engine.IO protocol. */
  readonly protocol: 3 | 4

  /**
   * The address of the TCP peer at the handshake. Behind the proxies of `trustProxy`, it is the address
   * of the client.
   */
  readonly remoteAddress: string | undefined

  /** The state of the session: `closing` from a call of `close()` until the event `close`. */
  readonly readyState: ReadyState

  /** The transport in use. */
  readonly transport: Transport

  /** Whether an upgrade is in progress: the client probes a WebSocket. */
  readonly upgrading: boolean

  /** Whether the session has moved from polling to WebSocket. */
  readonly upgraded: boolean

  /**
   * The messages that wait to be sent, as they are at the moment of the read. Only its length is meaningful,
   * because the messages themselves are native. `push()` sends messages; methods that remove some throw
   * `ERR_UPWIRE_UNSUPPORTED`. In `close` listeners it counts the messages that were not sent.
   */
  readonly writeBuffer: readonly Packet[] & { push(...packets: Packet[]): number }

  /** The callbacks of messages that have not been sent; empty in `close` listeners. */
  readonly packetsFn: readonly SendCallback[]

  /** Always empty: `packetsFn` has the callbacks of all messages that have not been sent. */
  readonly sentCallbackFn: readonly SendCallback[]

  /** Does nothing: the messages of a tick leave at its end. */
  flush(): void

  /**
   * Sends a message. The messages of a session leave in the order of the calls. Binary data is copied.
   * @param callback called with the transport when the message has left
   */
  send(data: Data, options?: SendOptions, callback?: SendCallback): this
  send(data: Data, callback: SendCallback): this

  /** Alias of {@link EngineSocket.send}. */
  write(data: Data, options?: SendOptions, callback?: SendCallback): this
  write(data: Data, callback: SendCallback): this

  /**
   * Closes the session, with the reason `forced close`. Earlier messages are sent first, within
   * `closeTimeout`. On polling, the close waits at most 30 s for the GET that fetches them.
   * @param discard drops the messages that wait to be sent, and closes at once
   */
  close(discard?: boolean): this

  /** The state of the session for bug reports, as an object that can be written as JSON. */
  debugState(): EngineSocketState
}

/** The state of a session, for bug reports. */
interface EngineSocketState {
  /** The first 4 characters of the id, and an ellipsis. */
  id: string
  readyState: ReadyState
  transport: TransportName
  upgrading: boolean
  upgraded: boolean
  /** Messages that wait to be sent, or that were never sent. */
  waitingMessages: number
  /** Bytes that wait to be sent. */
  waitingBytes: number
  remoteAddress: string | null
  /** Milliseconds since the handshake. */
  age: number
  /** The HTTP requests of a session that uses polling, or upgraded a moment ago. */
  requests: {
    /** Whether a GET waits for packets. */
    isGetParked: boolean
    /** The state of the POST that has begun. */
    post: 'unread' | 'reading' | 'over' | null
    /** Answers of GETs that have not been sent completely. */
    answersLeaving: number
  } | null
}

/** The transport of a session: engine.io's `Transport`. */
interface Transport extends TypedEmitter<TransportEvents> {
  readonly name: TransportName

  /** The id of the session. */
  readonly sid: string

  /** The version of the Engine.IO protocol. */
  readonly protocol: 3 | 4

  /** The state of the session; `closed` when the session has moved on to another transport. */
  readonly readyState: ReadyState

  /** Whether a volatile packet would be sent now. */
  readonly writable: boolean

  /** Whether the session has moved on to another transport, or the probe of this one has failed. */
  readonly discarded: boolean

  /**
   * Closes the session, as {@link EngineSocket.close} does.
   * @param callback called when the session is closed
   */
  close(callback?: () => void): void

  /** Replaces engine.io's WebSocket object; `undefined` on polling. */
  readonly socket: WebSocketFacade | undefined
}

/** Events of a {@link WebSocketFacade}, by name, with their arguments. */
interface WebSocketFacadeEvents {
  /**
   * The session is closed. `code` and `reason` are those of the close frame; 1005 if it had none, and 1006 if
   * there was no close frame.
   */
  close: [code: number, reason: Buffer]
}

/** The members of a WebSocket object that apps use. */
interface WebSocketFacade extends TypedEmitter<WebSocketFacadeEvents> {
  /** Bytes that wait to be sent, without those that the kernel holds. */
  readonly bufferedAmount: number

  /** 1 while the session is open, then 3, as in the WebSocket API. */
  readonly readyState: 1 | 3

  /** Empty: the I/O threads agree on extensions. */
  readonly _extensions: Record<string, never>

  /** The connection. Native code owns it. */
  readonly _socket: {
    readonly remoteAddress: string | undefined
    readonly remotePort: number | undefined
    readonly remoteFamily: string | undefined
    readonly localAddress: string | undefined
    readonly localPort: number | undefined
    /** Whether the session is closed. */
    readonly destroyed: boolean
    /** Closes the session at once. */
    destroy(): void
    /** Does nothing: upwire has switched Nagle's algorithm off. */
    setNoDelay(noDelay?: boolean): void
    /** Does nothing: heartbeats find lost connections. */
    setKeepAlive(enable?: boolean, initialDelay?: number): void
  }

  /**
   * Sends a ping frame, in the order of the messages. Pongs are not shown.
   * @param data at most 125 bytes
   * @param callback called when the frame is queued, or with an error if the session is not open
   * @throws `ERR_UPWIRE_INVALID_OPTION` if the data is longer
   */
  ping(data?: Data, mask?: boolean, callback?: (error?: Error) => void): void
  ping(callback: (error?: Error) => void): void

  /** Closes the session, as {@link EngineSocket.close} does. */
  close(): void

  /** Closes the session at once, without sending the messages that wait. */
  terminate(): void
}

type TransportName = 'polling' | 'websocket'
type ReadyState = 'open' | 'closing' | 'closed'
type Data = string | ArrayBufferView | ArrayBufferLike
type SendCallback = (transport: Transport) => void

interface SendOptions {
  /**
   * Whether a WebSocket may compress the message, if `perMessageDeflate` is on.
   * @default true
   */
  compress?: boolean
}

/** An Engine.IO packet, as events show it. */
interface Packet {
  type: 'ping' | 'pong' | 'message'
  data?: Data
  options?: SendOptions
}

/** A request on the engine's path. */
interface EngineRequest extends IncomingMessage {
  /** The query string; if a name occurs several times, its last value. */
  _query: Record<string, string>
  /** The response, if this is not an upgrade. */
  res?: ServerResponse
}

/**
 * An Express-style middleware. On an upgrade, the headers that it sets on the response become headers of
 * the 101.
 */
type Middleware = (
  request: EngineRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => unknown

/** Options that decide which requests and upgrades of a server an engine takes. */
interface PathOptions {
  /**
   * Path of the requests. It is compared with the beginning of the URL, without any decoding.
   * @default "/socket.io" with `attach()`, "/engine.io" with `Engine`
   */
  path?: string

  /**
   * Whether the path ends in a slash.
   * @default true
   */
  addTrailingSlash?: boolean

  /**
   * Whether upwire answers an upgrade on other paths with 404 if no listener answers it.
   * @default true
   */
  destroyUpgrade?: boolean

  /**
   * Milliseconds until such an upgrade gets the 404.
   * @default 1000
   */
  destroyUpgradeTimeout?: number
}

/**
 * Features of engine.io that upwire does not have yet. Asking for one throws
 * `ERR_UPWIRE_UNSUPPORTED_OPTION`.
 */
interface UnsupportedOptions {
  httpCompression?: false
  /** Native code reads and writes the frames, so no other WebSocket engine can. */
  wsEngine?: false
}

/** Options of permessage-deflate, with the names of the package `ws`. */
interface PerMessageDeflateOptions {
  /**
   * Messages of fewer bytes are sent without compression.
   * @default 1024
   */
  threshold?: number

  /**
   * Whether each message of the server is compressed by itself. With `false`, messages may refer to earlier
   * ones, which compresses better and costs each connection up to 320 KiB; offers that ask for no context
   * takeover are declined.
   * @default true
   */
  serverNoContextTakeover?: boolean

  /**
   * Whether the client has to compress each message by itself. With `false`, the connection keeps up to 48 KiB
   * for the client's earlier messages.
   * @default true
   */
  clientNoContextTakeover?: boolean

  /**
   * The server's window, from 9 to 15 as a power of two. `false` declines offers that ask for one.
   * @default what the client asks for, or 15
   */
  serverMaxWindowBits?: number | boolean

  /**
   * The client's window, from 8 to 15 as a power of two; offers without this parameter are declined then.
   * `false` does not answer the parameter.
   * @default what the client offers, or 15
   */
  clientMaxWindowBits?: number | boolean

  /** `level`, `memLevel` and `strategy` apply. Others, such as `chunkSize`, have no meaning here. */
  zlibDeflateOptions?: ZlibOptions

  /** Accepted for compatibility; nothing in it has a meaning here. */
  zlibInflateOptions?: ZlibOptions

  /** Accepted for compatibility. It has no meaning here, because no thread pool is shared with others. */
  concurrencyLimit?: number
}

/** `'*'`, an origin, or a regular expression that is tested against the whole origin. */
type OriginEntry = string | RegExp

/**
 * Options of an {@link Engine}. Times are in milliseconds, sizes in bytes. Where the comment names a
 * status or a close code, it is the one that a client gets at the limit.
 */
interface EngineOptions extends PathOptions, UnsupportedOptions {
  /**
   * Whether clients of Socket.IO 2, which speak revision 3 of the Engine.IO protocol, may connect
   * (engine.io's option of this name).
   * @default false
   */
  allowEIO3?: boolean

  /**
   * Decides whether a handshake may become a session: it calls `decide(message, success)`. It is not
   * called for later requests of a session, nor for a handshake whose Origin is refused. If it throws or
   * rejects, the handshake is refused (403).
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
   * Origins whose pages may use the engine, besides the server's own (403 for others): `'*'` for all,
   * origins such as `"https://app.example"`, regular expressions that are tested against the whole
   * origin, or a function that is called for each request whose Origin is not the server's own and that
   * carries no sid of a session of the same page.
   * `[]` allows no other origins. If this option is given, `cors` only sets headers.
   * @default the origins that `cors.origin` allows
   */
  allowedOrigins?:
    | OriginEntry
    | readonly OriginEntry[]
    | ((origin: string, request: EngineRequest) => boolean | Promise<boolean>)

  /**
   * Milliseconds that a peer may take to answer a close frame. After that its connection is reset.
   * @default 3000
   */
  closeTimeout?: number

  /**
   * Sets a cookie with the session's id in the first answer of a session, on polling and on the 101, so that
   * load balancers can route by it. An object has options of the package `cookie` and a `name`; `true` means
   * `{ name: 'io', path: '/', httpOnly: true, sameSite: 'lax' }`, whose members are also the defaults.
   * @default false
   */
  cookie?: ServerOptions['cookie']

  /**
   * Options of the package `cors`, which runs as a middleware on both transports. Without
   * `allowedOrigins`, its `origin` also decides which pages may use the engine. `'*'` means `{ origin: '*' }`.
   * @default false
   */
  cors?: boolean | '*' | ServerOptions['cors']

  /**
   * Milliseconds that middlewares, `allowedOrigins`, `allowRequest` and `generateId` may take
   * together (503).
   * @default 20000
   */
  handshakeTimeout?: number

  /**
   * A message that each session gets right after the open packet.
   * @default undefined
   */
  initialPacket?: unknown

  /**
   * Number of I/O threads, 1 to 64. All engines of a Node environment share them, and the first engine
   * decides.
   * @default 1
   */
  ioThreads?: number

  /**
   * Connections of the process that may keep compression contexts, which take up to 370 KiB each. Further
   * ones agree on compression without context takeover.
   * @default 1000
   */
  maxDeflateContexts?: number

  /**
   * Nested arrays and objects in a Socket.IO packet's JSON, where the array of an event is the first
   * level. Beyond that the session closes with `parse error`. 0 is unlimited.
   * @default 1000 with `attach()`; 0 with `Engine`, or if there is a `parser`
   */
  maxDepth?: number

  /**
   * Frames of one WebSocket message, including empty ones (close 1008).
   * @default 16384
   */
  maxFragments?: number

  /**
   * Handshakes per second that each address may begin, with bursts of twice as many (503). 0 is
   * unlimited.
   * @default 0
   */
  maxHandshakeRate?: number

  /**
   * Bytes of one message or POST body (close 1009, or 413). `Infinity` is the length of the longest string
   * that JavaScript can hold.
   * @default 1000000
   */
  maxHttpBufferSize?: number

  /**
   * Milliseconds without a turn of the event loop after which pings stop, so that clients notice a hung
   * process. The first engine of a Node environment decides.
   * @default 30000
   */
  maxLoopStall?: number

  /**
   * Messages per second that a session may send, with bursts of twice as many (close 1008). A binary
   * attachment counts as a message. 0 is unlimited.
   * @default 0
   */
  maxMessageRate?: number

  /**
   * Handshakes that wait for middlewares, `allowedOrigins`, `allowRequest` or `generateId` (503).
   * @default 16384
   */
  maxPendingHandshakes?: number

  /**
   * Pongs that wait to be sent to one peer. Beyond that, only the newest is kept.
   * @default 60
   */
  maxPendingPongs?: number

  /**
   * Bytes of one connection's messages that were not yet delivered to JavaScript. At this limit reading
   * pauses, until half of them are delivered.
   * @default twice maxHttpBufferSize, at least 1 MiB
   */
  maxReceiveQueue?: number

  /**
   * Bytes that may wait for one peer when the next message is sent; see `slowConsumer`. 0 is unlimited.
   * @default 16777216
   */
  maxSendBuffer?: number

  /**
   * Sessions of this engine, including handshakes that may become one (503). 0 is unlimited.
   * @default 100000
   */
  maxSessions?: number

  /**
   * Sessions of one address, including handshakes that may become one (503). IPv6 addresses count by
   * their first 64 bits. Behind a proxy, it needs `trustProxy`. 0 is unlimited.
   * @default 0
   */
  maxSessionsPerAddress?: number

  /**
   * Bytes of all connections' messages that were not yet delivered to JavaScript. At this limit, the
   * connections with most of them are paused first. The first engine of a Node environment decides.
   * @default 67108864
   */
  maxTotalReceiveQueue?: number

  /**
   * Bytes that wait for all peers. At this limit, the client with the longest queue is disconnected.
   * 0 is unlimited. The first engine of a Node environment decides.
   * @default a quarter of the memory that this process may use, at least 256 MiB
   */
  maxTotalSendBuffer?: number

  /**
   * Compresses WebSocket messages, for clients that support it (permessage-deflate, RFC 7692). The I/O
   * threads do it, not the JavaScript thread.
   * @default false
   */
  perMessageDeflate?: boolean | PerMessageDeflateOptions

  /**
   * Milliseconds between a pong and the next ping. 0 means 1, and `Infinity` 11 days.
   * @default 25000
   */
  pingInterval?: number

  /**
   * Milliseconds that a pong may take. After that the session closes with `ping timeout`. `Infinity` means
   * 11 days.
   * @default 20000
   */
  pingTimeout?: number

  /**
   * Whether a WebSocket must have an Origin (403). Browsers always send one, other clients often do not.
   * @default false
   */
  requireOrigin?: boolean

  /**
   * The effect of a message that exceeds `maxSendBuffer`: the session closes, or the message is dropped.
   * @default "close"
   */
  slowConsumer?: 'close' | 'drop'

  /**
   * The transports that clients may use: an array, or the name of the only one.
   * @default ["polling", "websocket"]
   */
  transports?: TransportName | readonly TransportName[]

  /**
   * Addresses of the proxies in front of the server, and blocks such as `"10.0.0.0/8"`. If one of them
   * has forwarded a request, the client's address is read from `X-Forwarded-For` or `Forwarded`.
   * @default []
   */
  trustProxy?: readonly string[] | false

  /**
   * Milliseconds that a WebSocket may take to complete an upgrade.
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

/** What has socket.io's type `Partial<ServerOptions>` or `ServerOptions`: see {@link attach}. */
type StockOptions = Omit<Partial<ServerOptions>, 'allowRequest'> &
  Pick<EngineOptions, 'allowRequest'>

/** Options of {@link Engine.drain}. */
interface DrainOptions {
  /**
   * Milliseconds after which the remaining sessions are closed at once.
   * @default 10000
   */
  deadline?: number

  /**
   * Sessions that are closed per second, 1 to 1,000,000.
   * @default a rate at which the last session is closed after four fifths of the deadline
   */
  rate?: number
}

/** The outcome of {@link Engine.drain}, as numbers of sessions. */
interface DrainResult {
  /** Closed one after the other. */
  closed: number
  /** Closed by their clients in the meantime. */
  left: number
  /** Closed at the deadline, or by `close()`. */
  forced: number
}

/** Events of an {@link Engine}, by name, with their arguments. */
interface EngineEvents {
  /** A session has opened. */
  connection: [socket: EngineSocket]
  /** A request was refused. */
  connection_error: [error: ConnectionError]
  /** The headers of a session's first response. A listener may change them. */
  initial_headers: [headers: Headers, request: EngineRequest]
  /** The headers of a response. A listener may change them. */
  headers: [headers: Headers, request: EngineRequest]
  /** A session passes the packets of a tick to its transport. */
  flush: [socket: EngineSocket, packets: Packet[]]
  /** All packets of a session have left. */
  drain: [socket: EngineSocket]
  /** A limit was met. Each limit emits at most ten events per second. */
  limit: [limit: LimitReached]
  /** The engine closes. Its sessions close after this event. */
  shutdown: []
}

/** Events of an {@link EngineSocket}, by name, with their arguments. */
interface EngineSocketEvents {
  /** A message has arrived; `undefined` if it was empty. */
  data: [data: string | Buffer | undefined]
  /** The same as `data`. */
  message: [data: string | Buffer | undefined]
  /** A packet has arrived: a message, or a pong. */
  packet: [packet: Packet]
  /** A packet is about to be sent: a message, or a ping. */
  packetCreate: [packet: Packet]
  /** A pong has arrived. */
  heartbeat: []
  /** The packets of a tick are passed to the transport. */
  flush: [packets: Packet[]]
  /** All packets have left. */
  drain: []
  /** The client probes a WebSocket. */
  upgrading: [transport: Transport]
  /** The WebSocket is now the transport. */
  upgrade: [transport: Transport]
  /** The session is closed. Emitted once. */
  close: [reason: CloseReason, description?: CloseError]
}

/** Events of a {@link Transport}, by name, with their arguments. */
interface TransportEvents {
  /** A packet has arrived: a message, or a pong. */
  packet: [packet: Packet]
  /** The headers of a polling response. A listener may change them. */
  headers: [headers: Headers]
  /** All packets of the session have left. */
  drain: []
  /** The session is closed, it has moved on to another transport, or the probe has failed. */
  close: []
}

type Headers = Record<string, string | number | readonly string[]>

type ConnectionErrorCode = 0 | 1 | 2 | 3 | 4 | 5

/** The reason for which a request was refused. */
interface ConnectionError {
  req: EngineRequest
  /** One of {@link Engine.errors}. */
  code: ConnectionErrorCode
  message: string
  /** Details. `name` distinguishes cases of one code; `error` is the error that the app's code threw. */
  context?: { name?: string; message?: string; error?: unknown; [detail: string]: unknown }
}

/** The reason for which a session has closed. */
type CloseReason =
  | 'transport error'
  | 'transport close'
  | 'forced close'
  | 'ping timeout'
  | 'parse error'

/** Details of the end of a session. */
interface CloseError extends Error {
  code?: CloseErrorCode
  /** With the reason `transport error`. */
  type?: 'TransportError'
  /** The cause, with the reason `transport error`. */
  description?: Error
  /** Status of the peer's close frame, or of the one that was sent to it. */
  wsCode?: number
  /** Reason in the peer's close frame. */
  wsReason?: string
  /** Error number of the failed system call. */
  errno?: number
  /** Name of the limit that was met. */
  limit?: string
  /** Value of that limit. */
  value?: number
}

/** A limit that was met. */
interface LimitReached {
  /** Name of the option, or `earlyBytes` or `totalEarlyBytes`, which are no options. */
  name: string
  /** Value of the limit. */
  limit: number
  /** The value that was compared with the limit. */
  value: number
  /** The consequence for the session, request or message. */
  action: 'closed' | 'refused' | 'dropped' | 'paused'
  /** Id of the session, if there is one. */
  sid: string | undefined
  /** Address of the client. */
  remoteAddress: string | undefined
}

/** Counters of an {@link Engine}, and of the Node environment that it runs in. */
interface EngineStats {
  /** Open sessions. */
  sessions: number
  /** Handshakes that wait for middlewares, `allowedOrigins`, `allowRequest` or `generateId`. */
  pendingHandshakes: number
  /** Bytes of memory for data that clients have sent before their upgrade was answered; environment. */
  earlyBytes: number
  /**
   * WebSockets of the environment whose bytes pass through a JavaScript stream: over TLS, or because no
   * descriptor was free.
   */
  streams: number
  /** How often each limit was met, such as `"maxSendBuffer closed": 2`. */
  limits: Record<string, number>
  /** Bytes that wait for all peers of the environment. */
  unsent: number
  /** Bytes of memory for messages of the environment that were not yet delivered to JavaScript. */
  undelivered: number
  /** Bytes of memory for unfinished messages and POST bodies of the environment. */
  unfinished: number
  /** Panics of the environment's I/O threads that were caught. */
  panics: number
  /** Connections of the process that keep compression contexts; see `maxDeflateContexts`. */
  deflateContexts: number
}

/** The state of an {@link Engine}, for bug reports. It can be written as JSON. */
interface EngineDebugState {
  state: 'open' | 'draining' | 'retiring' | 'closed' | 'retired'
  /** The options that differ from their defaults; functions are shown as `"[function]"`. */
  options: Record<string, unknown>
  /** The number of middlewares. */
  middlewares: number
  /** The number of sessions by transport and `readyState`: `{ polling: { open: 2 }, websocket: {} }`. */
  sessions: Record<TransportName, Partial<Record<ReadyState, number>>>
  stats: EngineStats
}

/** `code` of the errors that upwire throws. */
type ErrorCode =
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
  | 'ERR_UPWIRE_PRERENDER'
  | 'ERR_UPWIRE_SERVERLESS'
  | 'ERR_UPWIRE_SOCKET_IO_MISSING'
  | 'ERR_UPWIRE_UNSUPPORTED'
  | 'ERR_UPWIRE_UNSUPPORTED_OPTION'

/** `code` of the `description` of a `close` event. */
type CloseErrorCode =
  | 'ERR_UPWIRE_CLOSE_TIMEOUT'
  | 'ERR_UPWIRE_CONNECTION_ENDED'
  | 'ERR_UPWIRE_CONNECTION_LOST'
  | 'ERR_UPWIRE_HEARTBEAT_DIRECTION'
  | 'ERR_UPWIRE_INTERNAL'
  | 'ERR_UPWIRE_INVALID_COMPRESSION'
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
  | 'UPWIRE_UPGRADE_LISTENER'

/** As in socket.io: a listener's type for each event name. */
interface EventsMap {
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  [event: string]: any
}

// biome-ignore lint/suspicious/noExplicitAny: an app's own events may have any arguments
type AnyListener = (...args: any[]) => void

type Listener<Events extends EventArguments<Events>, Name> = Name extends keyof Events
  ? (...args: Events[Name]) => void
  : AnyListener

type EventArguments<Events> = { [Name in keyof Events]: unknown[] }

type EventName<Events> = keyof Events | (string & {}) | symbol

/** An EventEmitter with typed events. An app may add events of its own. */
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
  EngineDebugState,
  EngineEvents,
  EngineOptions,
  EngineRequest,
  EngineSocketEvents,
  EngineSocketState,
  EngineStats,
  ErrorCode,
  EventsMap,
  LimitReached,
  Middleware,
  NodeServer,
  Packet,
  PathOptions,
  ReadyState,
  SendOptions,
  Setup,
  SetupResult,
  StockOptions,
  Transport,
  TransportEvents,
  TransportName,
  WarningCode,
  WebSocketFacade,
  WebSocketFacadeEvents,
}
export { attach, Engine, EngineSocket }
