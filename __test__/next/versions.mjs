// The versions of Next.js in the matrix, and their differences. Other files depend on these traits, never
// on version numbers.

const webpack = { name: 'webpack', flags: [], custom: {} }
const turbopack = { name: 'turbopack', flags: [], custom: {} }
const webpackByFlag = { name: 'webpack', flags: ['--webpack'], custom: { webpack: true } }
const turbopackByFlag = { name: 'turbopack', flags: ['--turbopack'], custom: { turbopack: true } }

/**
 * @typedef {object} Version
 * @property {string} next
 * @property {number} react its major version
 * @property {'none' | 'flag' | 'stable'} appRouter `flag`: `experimental.appDir`
 * @property {'none' | 'flag' | 'stable'} instrumentation `flag`: `experimental.instrumentationHook`
 * @property {{ name: string, flags: string[], custom: object }[]} bundlers the default one first; `flags`
 *   select it for `next build` and `next dev`, `custom` for `next()` in a custom server
 * @property {'' | 'proxy' | 'server'} workers the app's code runs in separate processes, behind a process
 *   that only proxies, or behind one that routes
 * @property {'request' | 'dev' | 'boot'} registers when instrumentation runs: at the first request; at boot
 *   in dev, else at the first request; at boot
 * @property {boolean} leavesDevServer SIGTERM to `next dev` does not end its child
 * @property {boolean} endsUpgrades Next.js ends upgrades of unknown paths
 * @property {boolean} endsMatchedUpgrades Next.js ends upgrades whose URL matches a route of the app
 * @property {boolean} failsMiddleware its middleware step throws on an upgrade, because it gets a raw socket
 *   as response, and writes `Internal Server Error` into it
 * @property {boolean} closesOnSignal `next start` shuts down with server.close(), not process.exit()
 * @property {string} hmr the path of the dev server's WebSocket
 * @property {boolean} keepsGets `next build` renders a route with GET, and nothing can make it dynamic
 * @property {'middleware' | 'proxy'} middleware the name of the middleware's file and function
 */

const common = {
  react: 18,
  appRouter: 'stable',
  instrumentation: 'flag',
  bundlers: [webpack],
  workers: '',
  registers: 'boot',
  leavesDevServer: false,
  endsUpgrades: false,
  endsMatchedUpgrades: false,
  failsMiddleware: false,
  closesOnSignal: false,
  hmr: '/_next/webpack-hmr',
  keepsGets: false,
  middleware: 'middleware',
}

/** @type {Version[]} */
export const versions = [
  { next: '12.3.7', appRouter: 'none', instrumentation: 'none' },
  {
    next: '13.2.4',
    appRouter: 'flag',
    registers: 'request',
    leavesDevServer: true,
    keepsGets: true,
  },
  { next: '13.4.12', workers: 'proxy', keepsGets: true },
  { next: '13.4.19', workers: 'server', endsUpgrades: true, keepsGets: true },
  {
    next: '13.5.11',
    registers: 'dev',
    endsUpgrades: true,
    failsMiddleware: true,
    keepsGets: true,
  },
  { next: '14.2.35', endsMatchedUpgrades: true, failsMiddleware: true, closesOnSignal: true },
  {
    next: '15.5.29',
    react: 19,
    instrumentation: 'stable',
    bundlers: [webpack, turbopackByFlag],
    endsMatchedUpgrades: true,
    closesOnSignal: true,
  },
  {
    next: '16.4.6',
    react: 19,
    instrumentation: 'stable',
    bundlers: [turbopack, webpackByFlag],
    endsMatchedUpgrades: true,
    closesOnSignal: true,
    hmr: '/_next/hmr',
    middleware: 'proxy',
  },
].map((traits) => ({ ...common, ...traits }))
