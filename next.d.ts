import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { DefaultEventsMap } from 'socket.io'
import type { AttachOptions, AttachedServer, EventsMap, Setup } from './index'

/**
 * Runs Socket.IO on the server that Next.js runs, where there is no custom server. Call it in a module
 * that `instrumentation.ts` imports:
 *
 * @example
 * // instrumentation.ts
 * export async function register() {
 *   if (process.env.NEXT_RUNTIME === 'nodejs') await import('./socket')
 * }
 *
 * // socket.ts
 * registerUpwire({}, (io) => {
 *   io.on('connection', (socket) => socket.on('ping', (answer) => answer('pong')))
 * })
 *
 * A second call for the same path does nothing in production. Under `next dev` its `setup` takes the
 * place of the first one, and the clients reconnect. Where `attach()` runs the path already, that
 * server is taken.
 *
 * It does nothing in `next build`, in the edge runtime, and, with one warning, where there is no server
 * that could be found: `ERR_UPWIRE_SERVERLESS`, `ERR_UPWIRE_NEXT_WORKERS`.
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @param options those of `attach()`; `path` is by default the environment variable `UPWIRE_PATH`, or
 *   `/socket.io`
 * @param setup adds the app's handlers; it is called at once
 * @throws as `attach()`
 */
declare function registerUpwire<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(
  options?: RegisterOptions,
  setup?: Setup<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
): void

/** Options of {@link registerUpwire}. */
interface RegisterOptions extends AttachOptions {
  /**
   * Whether an HTTP server of this process is the one to take; asked for those that take connections.
   * @default the one that listens on the environment variable `PORT`, which Next.js sets; without
   *   `PORT` the first that has a listener for requests
   */
  match?: (server: HttpServer | HttpsServer) => boolean
}

/**
 * The socket.io server of this process, wherever it was made: for route handlers, server actions and
 * server components.
 *
 * In `next build`, where pages are rendered without a server, it gives `undefined`: write
 * `getIO()?.emit(…)` in what is rendered there.
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @param path which one, when there are several; by default that of the environment variable
 *   `UPWIRE_PATH`, or `/socket.io`, or the only one
 * @throws `ERR_UPWIRE_NOT_REGISTERED` when nothing runs on the path
 * @throws `ERR_UPWIRE_NEXT_WORKERS` in the processes in which Next.js 13.4 renders
 * @throws `ERR_UPWIRE_SERVERLESS` on platforms that run functions
 * @throws `ERR_UPWIRE_EDGE` in the edge runtime and in browsers
 */
declare function getIO<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(path?: string): AttachedServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData>

/**
 * Makes a Pages API route that runs Socket.IO on the server that Next.js runs, from the route's first
 * request on. When the path is the route's own, that may be the first poll of a client: it is answered,
 * and the page need not call the route before it connects.
 *
 * @example
 * // pages/api/socket.ts
 * export default socketRoute({ path: '/api/socket', addTrailingSlash: false }, (io) => {
 *   io.on('connection', (socket) => socket.on('ping', (answer) => answer('pong')))
 * })
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @param options those of `attach()`
 * @param setup adds the app's handlers; that of an edited route takes the place of the first one
 * @returns the route; it rejects with what `attach()` throws
 * @throws `ERR_UPWIRE_EDGE` in the edge runtime
 */
declare function socketRoute<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(
  options?: AttachOptions,
  setup?: Setup<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
): (request: IncomingMessage, response: ServerResponse) => Promise<void>

/**
 * Adds to the config of a Next.js app what upwire needs: it is left to Node instead of being bundled,
 * and on Next.js 13 and 14 instrumentation is switched on. In the process that listens it also holds
 * what clients send before the app's instrumentation has run. Put it around all other wrappers: most of
 * them take objects alone.
 *
 * @example
 * module.exports = withUpwire({ reactStrictMode: true })
 *
 * @param nextConfig an object, a function, or an asynchronous function
 * @throws `ERR_UPWIRE_INVALID_OPTION` when `path` is no path
 * @throws `ERR_UPWIRE_INVALID_CONFIG`, when the config is read, if `transpilePackages` names a package
 *   that must not be bundled
 */
declare function withUpwire<Config extends object = object>(
  nextConfig?: Config | ConfigFunction<Config>,
  options?: WithUpwireOptions,
): ConfigFunction<Config>

/** A config of Next.js that depends on the phase. */
// biome-ignore lint/suspicious/noExplicitAny: as in Next.js
type ConfigFunction<Config> = (phase: string, context: any) => Config | Promise<Config>

/** Options of {@link withUpwire}. */
interface WithUpwireOptions {
  /**
   * The path that `registerUpwire()` is given.
   * @default the environment variable UPWIRE_PATH, or "/socket.io"
   */
  path?: string
}

export type { ConfigFunction, RegisterOptions, WithUpwireOptions }
export { getIO, registerUpwire, socketRoute, withUpwire }
