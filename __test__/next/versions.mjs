// The versions of Next.js that the matrix runs, and how they differ. Everything else asks for a
// trait, never for a number.

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
 * @property {{ name: string, flags: string[], custom: object }[]} bundlers the default one first;
 *   how `next build` and `next dev` are told, and `next()` in a custom server
 * @property {'' | 'proxy' | 'server'} workers code of the app runs in processes of its own, behind
 *   a process that only proxies, or behind one that routes
 * @property {'request' | 'dev' | 'boot'} registers when instrumentation runs: at the first
 *   request, in dev at boot, always at boot
 * @property {boolean} leavesDevServer SIGTERM to `next dev` does not end its child
 * @property {boolean} endsUpgrades Next.js ends upgrades that it does not know
 * @property {boolean} endsMatchedUpgrades Next.js ends upgrades of a URL that is a route of the app
 * @property {boolean} failsMiddleware its middleware step gets a raw socket as response: it throws, and
 *   writes `Internal Server Error` into an upgrade that is left to it
 * @property {boolean} closesOnSignal `next start` ends by server.close(), not by process.exit()
 * @property {string} hmr the path of the dev server's WebSocket
 * @property {'middleware' | 'proxy'} middleware the name of that file and its function
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
  middleware: 'middleware',
}

/** @type {Version[]} */
export const versions = [
  { next: '12.3.7', appRouter: 'none', instrumentation: 'none' },
  { next: '13.2.4', appRouter: 'flag', registers: 'request', leavesDevServer: true },
  { next: '13.4.12', workers: 'proxy' },
  { next: '13.4.19', workers: 'server', endsUpgrades: true },
  { next: '13.5.11', registers: 'dev', endsUpgrades: true, failsMiddleware: true },
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
