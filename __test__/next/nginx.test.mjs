// A real nginx in front of `next start`: both transports, a restart of the app, and the Origin rule with
// the Host headers that proxies send.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { ensureNginx, howToGet } from '../../scripts/nginx.mjs'
import { command } from './cell.mjs'
import { Clients } from './client.mjs'
import { cache, install, prepareApp } from './project.mjs'
import { cells } from './shapes.mjs'
import { placeUpwire, prepareUpwire } from './upwire.mjs'
import { Child } from '../support/child.mjs'
import { within } from '../support/events.mjs'
import { startNginx } from '../support/nginx.mjs'
import { freePort } from '../support/ports.mjs'

const nginx = ensureNginx()
const required = process.env.UPWIRE_REQUIRE_BROWSER === '1'
const skip = nginx === null && !required && `no nginx; to run these tests, ${howToGet}`
const PATIENCE = 15_000

/** The headers that each proxy sets. Their ports are chosen when they start. */
const PROXIES = {
  host: 'proxy_set_header Host $http_host;',
  forwarded: 'proxy_set_header X-Forwarded-Host $http_host;',
  neither: '',
  secure: 'proxy_set_header Host $host:443;',
}

/** The app's socket.js; ORIGINS sets its allowed origins when it is started. */
const socketModule = `import { registerUpwire } from 'upwire/next'

const { ORIGINS } = process.env
registerUpwire(ORIGINS ? { allowedOrigins: ORIGINS.split(' ') } : {}, (io) => {
  io.on('connection', (socket) => socket.on('echo', (value, reply) => reply(value)))
})
console.log('> registered')
`

describe('next start behind nginx', { skip, timeout: 4 * 60_000 }, () => {
  const ports = {}
  const base = cells.find(({ name }) => name.startsWith('16.4.6 instrumentation start '))
  const files = (cell) => ({ ...base.shape.files(cell), 'socket.js': socketModule })
  const cell = { ...base, name: '16.4.6 nginx', shape: { ...base.shape, files } }
  let project
  let app
  let stopNginx

  before(async () => {
    const upwire = await prepareUpwire(cache, 'tree')
    project = await install(cell.version)
    placeUpwire(project, upwire)
    await prepareApp(cell, project, upwire, 180_000)
    for (const name of ['app', ...Object.keys(PROXIES)]) ports[name] = await freePort()
    await startApp()
    const servers = Object.entries(PROXIES).map(([name, directives]) => ({
      port: ports[name],
      directives,
    }))
    stopNginx = await startNginx(ports.app, servers)
  })

  after(() => {
    stopNginx?.()
    app?.kill()
  })

  async function startApp(variables = {}) {
    app = new Child(...command(cell, project, ports.app, variables))
    await app.says(/> registered/, PATIENCE)
  }

  async function restartApp(variables) {
    await app.terminate(PATIENCE)
    app.kill()
    await startApp(variables)
  }

  const url = (name) => `http://localhost:${ports[name]}`

  /** Clients of a page that was loaded from the given origin. */
  function clients(t, name, origin = url(name)) {
    const all = new Clients(url(name), { extraHeaders: { Origin: origin } })
    t.after(() => all.closeAll())
    return all
  }

  async function works(all, transports) {
    const socket = await all.connect({ transports })
    assert.equal(await socket.timeout(PATIENCE).emitWithAck('echo', 'hello'), 'hello')
    return socket
  }

  test('serves the page, polling and WebSocket', async (t) => {
    const all = clients(t, 'host')
    assert.match(await (await fetch(url('host'))).text(), /The page/)
    await works(all, ['polling'])
    await works(all, ['websocket'])
    const socket = await works(all, ['polling', 'websocket'])
    if (socket.io.engine.transport.name !== 'websocket') {
      await within(once(socket.io.engine, 'upgrade'), 'an upgrade', PATIENCE)
    }
  })

  test('clients reconnect after a restart of the app', async (t) => {
    const all = clients(t, 'host')
    const sockets = [['polling'], ['websocket']].map((transports) => all.open({ transports }))
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    const gone = sockets.map((socket) => once(socket, 'disconnect'))
    const back = Promise.all(gone).then(() =>
      Promise.all(sockets.map((socket) => socket.connected || once(socket, 'connect'))),
    )
    await restartApp()
    await within(back, 'the clients to come back', PATIENCE)
    for (const socket of sockets) assert.equal(await socket.emitWithAck('echo', 1), 1)
  })

  test('Origin: X-Forwarded-Host counts like Host', async (t) => {
    const all = clients(t, 'forwarded')
    await works(all, ['polling'])
    await works(all, ['websocket'])
  })

  test('Origin: Host with port 443 matches an https page without a port', async (t) => {
    const all = clients(t, 'secure', 'https://localhost')
    await works(all, ['polling'])
    await works(all, ['websocket'])
  })

  test('Origin: a page of another origin is refused, with every proxy', async (t) => {
    for (const name of Object.keys(PROXIES)) {
      const all = clients(t, name, 'https://evil.example')
      await assert.rejects(works(all, ['polling']), /403/)
      await assert.rejects(works(all, ['websocket']), /403/)
    }
  })

  test('Origin: without Host and X-Forwarded-Host the page is refused, and the warning’s remedy works', async (t) => {
    const all = clients(t, 'neither')
    await assert.rejects(works(all, ['polling']), /403/)
    await assert.rejects(works(all, ['websocket']), /403/)
    await app.says(new RegExp(`UPWIRE_ORIGIN.*${url('neither')}`), PATIENCE)
    assert.match(app.output, /proxy_set_header Host \$http_host/)
    const [, remedy] = app.output.match(new RegExp(`allowedOrigins: \\["(${url('neither')})"\\]`))
    await restartApp({ ORIGINS: remedy })
    await works(all, ['polling'])
    await works(all, ['websocket'])
  })
})
