// upwire beside a stock Socket.IO on the same server, and behind a proxy.

import { createServer } from 'node:http'
import { test } from 'node:test'
import httpProxy from 'http-proxy'
import { Server } from 'socket.io'
import { attach } from '../../index.js'
import { listen, shut } from '../support/servers.mjs'
import { works } from './support.mjs'

for (const when of ['before', 'after']) {
  test(`a stock Socket.IO that is attached ${when} upwire`, async (t) => {
    const server = createServer((_req, res) => res.end('page'))
    const stock = new Server({ path: '/stock' })
    if (when === 'before') stock.attach(server)
    const io = attach(server)
    if (when === 'after') stock.attach(server)
    const port = await listen(server)
    t.after(async () => {
      await Promise.all([io.close(), stock.close()])
      await shut(server)
    })
    const url = `http://127.0.0.1:${port}`
    for (let round = 0; round < 2; round++) {
      await works(t, io, url)
      await works(t, stock, url, { path: '/stock' })
    }
  })
}

test('http-proxy in front', async (t) => {
  const server = createServer((_req, res) => res.end('page'))
  const io = attach(server)
  const target = `http://127.0.0.1:${await listen(server)}`
  const proxy = httpProxy.createProxyServer({ target })
  proxy.on('error', () => {})
  const front = createServer((req, res) => proxy.web(req, res))
  front.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
  const url = `http://127.0.0.1:${await listen(front)}`
  t.after(async () => {
    await io.close()
    await shut(front)
    await shut(server)
  })
  await works(t, io, url)
})
