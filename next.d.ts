import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { DefaultEventsMap } from 'socket.io'
import type { AttachOptions, AttachedServer, EventsMap, Setup, StockOptions } from './index'

/**
 * Runs Socket.IO on the server that Next.js runs, in an app without a custom server. Call it in a module
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
 * In production, a second call for the same path does nothing. Under `next dev`, its `setup` replaces the
 * first one, and the clients reconnect. If `attach()` already runs Socket.IO on the path, that server is
 * used.
 *
 * The call does nothing in `next build` and in the edge runtime. Where no server can be found, it only
 * prints one warning, with the code `ERR_UPWIRE_SERVERLESS` or `ERR_UPWIRE_NEXT_WORKERS`.
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @param options those of `attach()`, and `match`. The default of `path` is the environment variable
 *   `UPWIRE_PATH`, or `/socket.io`.
 * @param setup adds the app's handlers; it is called at once
 * @throws the errors that `attach()` throws, except `ERR_UPWIRE_INVALID_SERVER`
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
   * Decides whether Socket.IO runs on an HTTP server of this process. It is called when a server receives
   * a connection or request, until it returns `true`.
   * @default matches the server that listens on the environment variable `PORT`, which Next.js sets;
   *   without `PORT`, the first server that has a listener for requests
   */
  match?: (server: HttpServer | HttpsServer) => boolean
}

/**
 * Returns the socket.io server of this process, for route handlers, server actions, server components and
 * API routes. It does not matter whether `attach()`, `registerUpwire()` or `socketRoute()` has made it.
 *
 * `next build` has no server. A route handler or component of the App Router that calls `getIO()` there
 * becomes dynamic: Next.js runs it for each request instead. With `cacheComponents`, only code behind
 * `await connection()` does that, so `getIO()` throws without it. In all other code that runs in a build,
 * such as `getStaticProps` or a module, and in routes on Next.js 13, it returns `undefined`.
 *
 * The type parameters are those of socket.io's `Server`.
 *
 * @param path the path of the server that is meant, if there are several. By default it is the environment
 *   variable `UPWIRE_PATH`, or `/socket.io`, or else the only path there is.
 * @throws `ERR_UPWIRE_NOT_REGISTERED` if Socket.IO does not run on the path
 * @throws `ERR_UPWIRE_INVALID_OPTION` if `path` is not a path
 * @throws `ERR_UPWIRE_NEXT_WORKERS` in the processes in which Next.js 13.4 renders
 * @throws `ERR_UPWIRE_PRERENDER` in `next build` with `cacheComponents`, before `await connection()`
 * @throws `ERR_UPWIRE_SERVERLESS` on platforms that run functions
 * @throws `ERR_UPWIRE_EDGE` in the edge runtime and in browsers
 */
declare function getIO<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(path?: string): AttachedServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData> | undefined

/**
 * Makes a Pages API route that runs Socket.IO on the server that Next.js runs, from the route's first
 * request on. If the path is the route's own, a client's first poll may be that request: upwire answers
 * it, and the page need not call the route before it connects.
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
 * @param setup adds the app's handlers. After an edit of the route, the new setup replaces the earlier one.
 * @returns the route; its promise rejects with the errors that `attach()` throws
 * @throws `ERR_UPWIRE_EDGE` in the edge runtime
 */
declare function socketRoute<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io
  SocketData = any,
>(
  options?: AttachOptions | StockOptions,
  setup?: Setup<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
): (request: IncomingMessage, response: ServerResponse) => Promise<void>

/**
 * Extends the config of a Next.js app: upwire is excluded from the bundles, and on Next.js 13 and 14
 * instrumentation is switched on. In the process that listens, it also claims the path early: the requests
 * of clients that connect before the app's instrumentation has run are held until then.
 *
 * An object becomes an object, so it can stand inside or around any other wrapper. A function becomes a
 * function, which most wrappers do not accept: put `withUpwire` around them.
 *
 * @example
 * module.exports = withUpwire({ reactStrictMode: true })
 *
 * @param nextConfig an object, a promise of one, or a function that returns either
 * @returns a config of the same form. It throws, or its function or promise does,
 *   `ERR_UPWIRE_INVALID_CONFIG` if `transpilePackages` names a package that must not be bundled; a function
 *   also throws it to a wrapper that takes it for an object.
 * @throws `ERR_UPWIRE_INVALID_OPTION` if `path` is not a path
 */
declare function withUpwire<Config extends object = object>(
  nextConfig: ConfigFunction<Config>,
  options?: WithUpwireOptions,
): ConfigFunction<Config>
declare function withUpwire<Config extends object = object>(
  nextConfig: Promise<Config>,
  options?: WithUpwireOptions,
): Promise<Config>
declare function withUpwire<Config extends object = object>(
  nextConfig?: Config,
  options?: WithUpwireOptions,
): Config

/** A config of Next.js that depends on the phase. */
// biome-ignore lint/suspicious/noExplicitAny: as in Next.js
type ConfigFunction<Config> = (phase: string, context: any) => Config | Promise<Config>

/** Options of {@link withUpwire}. */
interface WithUpwireOptions {
  /**
   * The path that `registerUpwire()` is called with.
   * @default the environment variable `UPWIRE_PATH`, or "/socket.io"
   */
  path?: string
}

export type { ConfigFunction, RegisterOptions, WithUpwireOptions }
export { getIO, registerUpwire, socketRoute, withUpwire }
