// A framework that owns upgrades itself, as Next.js plans to: it hands over all upgrades, for the server's
// life, as soon as it sees a listener that is not its own (docs/design.md#exclusive-upgrades).

import assert from 'node:assert/strict'
import http from 'node:http'
import { describe, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { attach } from 'upwire'
import { TRANSPORTS, pair, settled } from '../support/clients.mjs'
import { event } from '../support/events.mjs'
import { fetchText } from '../support/http.mjs'
import { listen, shut } from '../support/servers.mjs'

/** Serves a WebSocket route and hot reloading until another listener for upgrades shows. */
class Framework {
  isOwner = true
  #sockets = new WebSocketServer({ noServer: true })

  install(server) {
    this.isOwner = server.listeners('upgrade').length === 0
    server.on('upgrade', this.#onUpgrade)
    server.on('newListener', (type, listener) => {
      if (type === 'upgrade' && listener !== this.#onUpgrade) this.isOwner = false
    })
  }

  #onUpgrade = (req, socket, head) => {
    if (!this.isOwner) return
    if (!['/route', '/_next/hmr'].includes(req.url)) return socket.end()
    this.#sockets.handleUpgrade(req, socket, head, (peer) => {
      peer.on('message', (data) => peer.send(`${req.url} ${data}`))
    })
  }
}

/** Sends a message to a WebSocket route and returns the reply. */
async function ask(t, url) {
  const peer = new WebSocket(url.replace('http', 'ws'))
  t.after(() => peer.terminate())
  await event(peer, 'open')
  peer.send('hello')
  const [reply] = await event(peer, 'message')
  peer.terminate()
  return String(reply)
}

describe('a framework that gives way to other listeners for upgrades', () => {
  for (const when of ['before', 'after', 'at the first request after']) {
    test(`and listens ${when} attach keeps its upgrades, and upwire its own`, async (t) => {
      const framework = new Framework()
      let isInstalled = false
      const install = (server) => {
        isInstalled = true
        framework.install(server)
      }
      const server = http.createServer((_req, res) => {
        if (!isInstalled) install(server)
        res.end('page')
      })
      if (when === 'before') install(server)
      const io = attach(server)
      if (when === 'after') install(server)
      const port = await listen(server)
      t.after(async () => {
        await io.close()
        await shut(server)
      })
      const url = `http://127.0.0.1:${port}`
      assert.equal((await fetchText(`${url}/`)).text, 'page')
      for (let round = 0; round < 2; round++) {
        for (const { transports, settles } of TRANSPORTS) {
          const { near } = await pair(t, { io, url }, { transports })
          await settled(near, settles)
          near.close()
        }
        assert.equal(await ask(t, `${url}/route`), '/route hello')
        assert.equal(await ask(t, `${url}/_next/hmr`), '/_next/hmr hello')
      }
      assert.equal(framework.isOwner, true)
      // Another listener still is one.
      server.on('upgrade', () => {})
      assert.equal(framework.isOwner, false)
    })
  }
})
