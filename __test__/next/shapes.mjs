// The shapes: ways to run Socket.IO and Next.js on one port. A cell of the matrix is a shape on one version
// of Next.js with one bundler.

import * as app from './app.mjs'
import { versions } from './versions.mjs'

const noSlash = { addTrailingSlash: false }
/** No server listens there. */
const elsewhere = 'http://127.0.0.1:1'

/**
 * @typedef {object} Shape
 * @property {string} name
 * @property {'custom' | 'pages' | 'instrumentation' | 'boot'} family
 * @property {'server' | 'start' | 'dev' | 'standalone'} command
 * @property {boolean} [dev]
 * @property {(version: import('./versions.mjs').Version) => boolean} runs
 * @property {'app' | 'pages'} [router] the page's router; the default is the App Router where it is stable
 * @property {object} [options] options of the server and of the clients
 * @property {object} [config] further settings of next.config.js
 * @property {string} [rewrites]
 * @property {boolean | object} [withUpwire]
 * @property {(cell: Cell) => Record<string, string>} [files] further files of the app
 * @property {(cell: Cell) => string} [server] server.js
 * @property {boolean} [everyBundler] runs with every bundler, not only with the default one
 * @property {string} [route] the path that must be requested before clients can connect
 * @property {boolean} [answers] the route answers the first poll, so it need not be requested before
 * @property {boolean} [waits] the route is requested while a client is already trying to connect
 * @property {boolean} [emits] the app has a route that emits an event
 * @property {boolean} [matches] every URL matches a route of the app
 * @property {boolean} [hasMiddleware] the app has a middleware that runs for every URL
 * @property {boolean} [preload] the process preloads upwire/preload
 */

/** @returns {Shape} */
function custom(name, { server = {}, dev = false, ...more }) {
  const options = more.options ?? {}
  return {
    name: `custom ${dev ? 'dev' : 'production'}${name ? ` ${name}` : ''}`,
    family: 'custom',
    command: 'server',
    dev,
    runs: () => true,
    server: ({ bundler }) => app.customServer({ dev, options, custom: bundler.custom, ...server }),
    ...more,
  }
}

function customForms() {
  return [false, true].flatMap((dev) =>
    [false, true].flatMap((httpServer) =>
      ['none', 'unknown', 'all'].map((upgrades) =>
        custom(`${httpServer ? 'httpServer' : 'plain'} upgrades-${upgrades}`, {
          dev,
          server: { httpServer, upgrades },
          everyBundler: true,
        }),
      ),
    ),
  )
}

/** Apps in which Next.js itself would answer requests or end upgrades on the path of Socket.IO. */
function customRivals() {
  const stableApp = ({ appRouter }) => appRouter === 'stable'
  return [false, true].flatMap((dev) => [
    custom('catch-all no-slash', {
      dev,
      runs: stableApp,
      router: 'app',
      options: noSlash,
      matches: true,
      files: () => app.catchAll,
    }),
    custom('middleware no-slash', {
      dev,
      options: noSlash,
      hasMiddleware: true,
      files: ({ version }) => app.middleware(version.middleware),
    }),
    custom('rewrite no-slash', {
      dev,
      options: noSlash,
      rewrites: `[
  { source: '/socket.io', destination: '${elsewhere}/socket.io' },
  { source: '/socket.io/:rest*', destination: '${elsewhere}/socket.io/:rest*' },
]`,
    }),
    custom('base-path', {
      dev,
      options: { path: '/base/socket.io' },
      config: { basePath: '/base', trailingSlash: true },
    }),
    custom('base-path no-slash', {
      dev,
      options: { path: '/base/socket.io', ...noSlash },
      config: { basePath: '/base', trailingSlash: true },
    }),
    custom('emit', {
      dev,
      runs: ({ appRouter }) => appRouter !== 'none',
      router: 'app',
      withUpwire: true,
      emits: true,
      everyBundler: true,
      files: () => app.emitRoute,
    }),
  ])
}

const isOneProcess = ({ workers }) => workers === ''

function pages() {
  // On 13.4, polls reach the route's process through Next.js's routing, which removes the slash.
  const own = { path: '/api/socket', ...noSlash }
  const other = { path: '/socket.io', ...noSlash }
  const shape = (name, command, options, more = {}) => ({
    name: `pages ${command} ${name}`,
    family: 'pages',
    command,
    dev: command === 'dev',
    runs: () => true,
    router: 'pages',
    options,
    route: '/api/socket',
    files: () => app.apiRoute(options),
    ...more,
  })
  return [
    ...['start', 'dev'].flatMap((command) => [
      shape('other-path', command, other),
      shape('default-path', command, {}, { runs: isOneProcess }),
      shape('own-path', command, own),
      shape('short', command, own, { files: () => app.shortApiRoute(own) }),
      shape('socket-route', command, own, {
        files: () => app.socketRoute(own),
        route: undefined,
        answers: true,
      }),
    ]),
    shape('websocket-before-route', 'start', other, {
      runs: isOneProcess,
      waits: true,
    }),
  ]
}

function instrumentation(name, command, more = {}) {
  return {
    name: `instrumentation ${command}${name ? ` ${name}` : ''}`,
    family: 'instrumentation',
    command,
    dev: command === 'dev',
    runs: ({ instrumentation }) => instrumentation !== 'none',
    router: 'app',
    withUpwire: true,
    emits: true,
    files: () => ({ ...app.instrumentation({}), ...app.emitRoute }),
    ...more,
  }
}

function boot(command, { preload = false, runs }) {
  return instrumentation(preload ? 'boot preload' : 'boot', command, {
    family: 'boot',
    emits: false,
    preload,
    runs,
    files: () => app.instrumentation({}),
  })
}

/** Matches versions whose instrumentation runs in the process that listens, at one of these times. */
const registersAt =
  (...times) =>
  (version) =>
    version.instrumentation !== 'none' && isOneProcess(version) && times.includes(version.registers)

/** @type {Shape[]} */
export const shapes = [
  ...customForms(),
  custom('close-on-signal', { server: { closes: true } }),
  ...customRivals(),
  ...pages(),
  ...['start', 'dev', 'standalone'].map((command) =>
    instrumentation('', command, { everyBundler: true }),
  ),
  ...['start', 'dev'].map((command) =>
    instrumentation('bare', command, {
      withUpwire: false,
      emits: false,
      files: () => app.instrumentation({}),
    }),
  ),
  // 13.2 does not copy the files that `next()` needs into the folder.
  instrumentation('custom-server', 'standalone', {
    runs: registersAt('dev', 'boot'),
    server: () => app.customServer({ dev: false, options: {}, standalone: true }),
  }),
  boot('start', { runs: registersAt('dev', 'boot') }),
  // A standalone server reads no config. Where a first request must trigger instrumentation, the preload
  // sends it.
  boot('standalone', { runs: registersAt('boot') }),
  boot('standalone', { preload: true, runs: registersAt('dev') }),
  boot('dev', { preload: true, runs: registersAt('dev', 'boot') }),
]

/**
 * @typedef {{ name: string, version: import('./versions.mjs').Version, shape: Shape,
 *   bundler: import('./versions.mjs').Version['bundlers'][number] }} Cell
 */

/** In an order in which neighbours can share a build. @type {Cell[]} */
export const cells = versions.flatMap((version) =>
  version.bundlers.flatMap((bundler, index) =>
    shapes
      .filter((shape) => shape.runs(version) && (index === 0 || shape.everyBundler))
      .map((shape) => ({
        name: `${version.next} ${shape.name} ${bundler.name}`,
        version,
        shape,
        bundler,
      })),
  ),
)

/** All files of a cell's app, except server.js. */
export function sources(cell) {
  const { shape, version } = cell
  const { config = {}, rewrites, withUpwire } = shape
  const router = shape.router ?? (version.appRouter === 'stable' ? 'app' : 'pages')
  const experimental = {
    ...(router === 'app' && version.appRouter === 'flag' && { appDir: true }),
    ...(isBare(shape) && version.instrumentation === 'flag' && { instrumentationHook: true }),
  }
  const all = {
    ...config,
    ...(Object.keys(experimental).length > 0 && { experimental }),
    ...(shape.command === 'standalone' && { output: 'standalone' }),
  }
  return {
    ...app.page(router),
    ...app.nextConfig({ config: all, rewrites, withUpwire }),
    ...shape.files?.(cell),
  }
}

const isBare = ({ family, withUpwire }) => family === 'instrumentation' && !withUpwire
