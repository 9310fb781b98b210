// The official client through real proxies that replace Host (docs/deployment.md#origin).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { io as connectSocket } from 'socket.io-client'
import { event, gather, until } from '../support/events.mjs'
import { PROXIES } from '../support/proxies.mjs'
import { serve } from '../support/servers.mjs'

/** Serves an app behind a proxy; `page` is the origin that the browser would show. */
async function behind(t, { start }, options = {}) {
  const served = await serve(t, options)
  served.io.on('connection', (socket) => socket.on('echo', (value, reply) => reply(value)))
  const proxy = await start(served.port)
  t.after(() => proxy.close())
  const page = `http://localhost:${proxy.port}`
  /** Browsers send an Origin with each WebSocket and POST, and with no GET to the page's own server. */
  const connect = (transports, origin = page, first = {}) => {
    const near = connectSocket(`http://127.0.0.1:${proxy.port}`, {
      transports,
      reconnection: false,
      forceNew: true,
      transportOptions: {
        polling: { extraHeaders: first },
        websocket: { extraHeaders: { Origin: origin } },
      },
    })
    t.after(() => near.disconnect())
    return near
  }
  return { ...served, page, connect }
}

async function echoes(near) {
  assert.equal(await near.timeout(10_000).emitWithAck('echo', 'hello'), 'hello')
}

for (const [name, proxy] of Object.entries(PROXIES)) {
  describe(name, { skip: proxy.skip, timeout: 60_000 }, () => {
    test('a page upgrades from polling to WebSocket', async (t) => {
      const { page, connect, engine } = await behind(t, proxy)
      const refusals = gather(engine, 'connection_error')
      for (const first of [{}, { Referer: `${page}/chat` }]) {
        const near = connect(['polling', 'websocket'], page, first)
        await event(near, 'connect')
        await until(() => near.io.engine.transport.name === 'websocket', 'the upgrade', 10_000)
        await echoes(near)
      }
      assert.deepEqual(refusals, [])
    })

    test('a WebSocket without a session is refused, and the warning helps', async (t) => {
      const { page, connect, engine, port } = await behind(t, proxy)
      const warnings = []
      const listener = (warning) => warnings.push(warning)
      process.on('warning', listener)
      t.after(() => process.off('warning', listener))
      const refusals = gather(engine, 'connection_error')
      for (let attempt = 0; attempt < 2; attempt++) {
        const near = connect(['websocket'])
        await event(near, 'connect_error')
      }
      assert.deepEqual(
        refusals.map(([{ code, context }]) => [code, context.name]),
        [
          [4, 'ORIGIN_NOT_ALLOWED'],
          [4, 'ORIGIN_NOT_ALLOWED'],
        ],
      )
      const own = warnings.filter(({ code }) => code === 'UPWIRE_ORIGIN')
      assert.equal(own.length, 1, 'once for the pair')
      const { host } = refusals[0][0].context
      const known = [`127.0.0.1:${port}`, `localhost:${port}`, '127.0.0.1', 'localhost']
      assert.ok(known.includes(host), host)
      for (const part of [page, `Host "${host}"`, `allowedOrigins: ["${page}"]`]) {
        assert.ok(own[0].message.includes(part), own[0].message)
      }
    })

    test('the origin that the warning names is the cure', async (t) => {
      const allowed = []
      const allowedOrigins = (origin) => allowed.includes(origin)
      const { connect } = await behind(t, proxy, { allowedOrigins })
      const warning = new Promise((resolve) => {
        const listener = (each) => each.code === 'UPWIRE_ORIGIN' && resolve(each)
        process.on('warning', listener)
        t.after(() => process.off('warning', listener))
      })
      await event(connect(['websocket']), 'connect_error')
      const { message } = await warning
      allowed.push(JSON.parse(/set allowedOrigins: \[(".*")\]/.exec(message)[1]))
      await echoes(connect(['websocket']))
    })

    test('a page of another site is refused, with the sid of another page too', async (t) => {
      const { page, connect, engine } = await behind(t, proxy)
      const refusals = gather(engine, 'connection_error')
      await event(connect(['websocket'], 'https://evil.example'), 'connect_error')
      await event(connect(['polling'], page, { Origin: 'https://evil.example' }), 'connect_error')
      const near = connect(['polling', 'websocket'], 'https://evil.example', {
        Referer: `${page}/`,
      })
      await event(near, 'connect')
      await until(() => refusals.length === 3, 'the refused upgrade')
      assert.equal(near.io.engine.transport.name, 'polling')
      await echoes(near)
    })
  })
}
