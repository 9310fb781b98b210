// Chromium behind real proxies that replace Host: the server's own page reaches WebSocket, and a page of
// another site gets nowhere (docs/protocol.md#origin).

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { attach } from 'upwire'
import { launchBrowser, skip } from './browser.mjs'
import { gather, until } from '../support/events.mjs'
import { listen } from '../support/ports.mjs'
import { PAGE, PROXIES } from '../support/proxies.mjs'

/**
 * Chromium takes localhost for as safe as https, so that it adds Sec-Fetch-Site to requests; to other names
 * it adds nothing over plain http.
 */
const NAMES = ['localhost', 'app.test']

/** What a page of another site may try, with the cookies of its visitor. Runs in the browser. */
async function attack(url) {
  const base = `${url}/socket.io/?EIO=4&transport=`
  const webSocket = (query) =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${base.replace('http', 'ws')}websocket${query}`)
      socket.onopen = () => resolve('open')
      socket.onerror = () => resolve('refused')
    })
  const fetched = (target, options) =>
    fetch(target, { credentials: 'include', ...options }).then(
      (response) => `${response.type} ${response.status}`,
      () => 'refused',
    )
  const loaded = (target) =>
    new Promise((resolve) => {
      const script = document.createElement('script')
      script.onload = () => resolve('loaded')
      script.onerror = () => resolve('refused')
      script.src = target
      document.head.append(script)
    })
  let scriptErrors = 0
  window.addEventListener('error', () => scriptErrors++)
  return {
    webSocket: await webSocket(''),
    guessed: await webSocket('&sid=AAAAAAAAAAAAAAAAAAAA'),
    cors: await fetched(`${base}polling`),
    hidden: await fetched(`${base}polling`, { mode: 'no-cors' }),
    post: await fetched(`${base}polling&sid=AAAAAAAAAAAAAAAAAAAA`, {
      mode: 'no-cors',
      method: 'POST',
      body: '40',
    }),
    script: await loaded(`${base}polling`),
    globals: Object.keys(window).filter((name) => /eio|sid/i.test(name)),
    scriptErrors,
  }
}

for (const [name, proxy] of Object.entries(PROXIES)) {
  describe(name, { skip: skip || proxy.skip, timeout: 120_000 }, () => {
    let browser
    let io
    let running
    let other
    let elsewhere

    before(
      async () => {
        const server = createServer((_req, res) => {
          res.writeHead(200, { 'content-type': 'text/html', 'set-cookie': 'user=alice' }).end(PAGE)
        })
        io = attach(server)
        io.on('connection', (socket) => socket.on('echo', (value, reply) => reply(value)))
        running = await proxy.start(await listen(server))
        other = createServer((_req, res) => {
          res.writeHead(200, { 'content-type': 'text/html' }).end('<link rel="icon" href="data:,">')
        })
        elsewhere = await listen(other)
        browser = await launchBrowser(['--host-resolver-rules=MAP *.test 127.0.0.1'])
      },
      { timeout: 60_000 },
    )

    after(async () => {
      await browser?.close()
      await io?.close()
      await running?.close()
      other?.close()
      other?.closeAllConnections()
    })

    for (const host of NAMES) {
      test(`a page of ${host} upgrades to WebSocket`, { timeout: 30_000 }, async (t) => {
        const refusals = gather(io.engine, 'connection_error')
        const page = await browser.newPage()
        t.after(() => page.close())
        await page.goto(`http://${host}:${running.port}/`)
        const [transport, echoed] = await page.evaluate(async () => {
          const socket = window.io({ transports: ['polling', 'websocket'] })
          await new Promise((resolve, reject) => {
            socket.once('connect', resolve).once('connect_error', reject)
          })
          const { engine } = socket.io
          if (engine.transport.name !== 'websocket') {
            await Promise.race([
              new Promise((resolve) => engine.once('upgrade', resolve)),
              new Promise((resolve) => engine.once('upgradeError', resolve)),
            ])
          }
          return [engine.transport.name, await socket.emitWithAck('echo', 'hello')]
        })
        assert.deepEqual([transport, echoed], ['websocket', 'hello'])
        assert.deepEqual(refusals, [])
      })

      test(`a page of another site gets nothing from ${host}`, { timeout: 30_000 }, async (t) => {
        const before = io.engine.clientsCount
        const opened = gather(io.engine, 'connection')
        const context = await browser.newContext()
        t.after(() => context.close())
        const page = await context.newPage()
        // The visitor has been on the server's own page, which has set a cookie.
        await page.goto(`http://${host}:${running.port}/`)
        await page.goto(`http://evil.test:${elsewhere}/`)
        const got = await page.evaluate(attack, `http://${host}:${running.port}`)
        assert.equal(got.webSocket, 'refused')
        assert.equal(got.guessed, 'refused')
        assert.equal(got.cors, 'refused')
        // The browser shows the page neither the status nor the body of these.
        assert.ok(['opaque 0', 'refused'].includes(got.hidden), got.hidden)
        assert.ok(['opaque 0', 'refused'].includes(got.post), got.post)
        assert.deepEqual(got.globals, [])
        // The page can open a session without reading the answer. Nobody knows its sid, so it stays on polling.
        for (const [session] of opened) assert.equal(session.transport.name, 'polling')
        for (const [session] of opened) session.close(true)
        await until(() => io.engine.clientsCount <= before, 'the blind sessions to end')
      })
    }
  })
}
