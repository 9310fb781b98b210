// Real proxies that replace Host with the address of the app, as they do by default.

import { createServer } from 'node:http'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import httpProxy from 'http-proxy'
import { createServer as createVite } from 'vite'
import { findNginx, howToGet } from '../../scripts/nginx.mjs'
import { startNginx } from './nginx.mjs'
import { freePort, listen } from './ports.mjs'

/** What Vite serves; the other proxies get it from the app. */
export const PAGE =
  '<!doctype html><link rel="icon" href="data:,"><script src="/socket.io/socket.io.js"></script>'

/**
 * Starts nginx in front of a port with the settings of most tutorials, which do not mention Host.
 * @returns {Promise<{ port: number, close: () => void }>}
 */
async function startTutorial(target, directives = '') {
  const port = await freePort()
  return { port, close: await startNginx(target, [{ port, directives }]) }
}

/** Starts Vite's development server with `changeOrigin`, as its documentation of `server.proxy` has it. */
async function startVite(target, proxyOptions = {}) {
  const root = mkdtempSync(join(tmpdir(), 'upwire-vite-'))
  writeFileSync(join(root, 'index.html'), PAGE)
  const options = { target: `http://127.0.0.1:${target}`, ws: true, changeOrigin: true }
  const vite = await createVite({
    root,
    configFile: false,
    logLevel: 'silent',
    cacheDir: join(root, '.vite'),
    server: {
      host: '127.0.0.1',
      port: await freePort(),
      allowedHosts: true,
      proxy: { '/socket.io': { ...options, ...proxyOptions } },
    },
  })
  await vite.listen()
  const close = async () => {
    await vite.close()
    rmSync(root, { recursive: true, force: true })
  }
  return { port: vite.httpServer.address().port, close }
}

/** Starts http-proxy, which is also in Create React App and webpack's development server. */
async function startHttpProxy(target) {
  const proxy = httpProxy.createProxyServer({
    target: `http://127.0.0.1:${target}`,
    changeOrigin: true,
  })
  // Clients that leave meanwhile are no failure of a test.
  proxy.on('error', (_error, _req, res) => res.destroy())
  const server = createServer((req, res) => proxy.web(req, res))
  server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
  const port = await listen(server)
  const close = () => {
    proxy.close()
    server.close()
    server.closeAllConnections()
  }
  return { port, close }
}

/** Starts another program's port in front of the app: Host keeps the name and loses the port. */
async function startPort(target) {
  return startTutorial(target, 'proxy_set_header Host $host;')
}

const skipNginx = findNginx() === null && `no nginx; to run this test, ${howToGet}`

/** The proxies by name: how each is started in front of a port, and why it may be skipped. */
export const PROXIES = {
  'nginx without proxy_set_header Host': { start: startTutorial, skip: skipNginx },
  'nginx with Host $host, which has no port': { start: startPort, skip: skipNginx },
  'Vite with changeOrigin': { start: startVite, skip: false },
  'http-proxy with changeOrigin': { start: startHttpProxy, skip: false },
}
