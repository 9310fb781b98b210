// The official client bundle, served by upwire itself, in Chromium on a page without a framework.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { attach } from 'upwire'
import { launchBrowser, skip } from './browser.mjs'
import { listen } from '../support/ports.mjs'

const variants = [
  { transports: ['polling'], settles: 'polling' },
  { transports: ['websocket'], settles: 'websocket' },
  { transports: ['polling', 'websocket'], settles: 'websocket' },
  { transports: ['websocket', 'polling'], settles: 'websocket' },
]

const html =
  '<!doctype html><link rel="icon" href="data:,"><script src="/socket.io/socket.io.js"></script>'
const byteCount = 100_000
const byteAt = (index) => (index * 31) % 256
const bytes = Buffer.from(Array.from({ length: byteCount }, (_, index) => byteAt(index)))

describe('a bare page', { skip, timeout: 120_000 }, () => {
  let browser
  let server
  let io
  let url

  before(
    async () => {
      server = createServer((_req, res) => res.setHeader('content-type', 'text/html').end(html))
      io = attach(server)
      io.on('connection', (socket) => {
        socket.on('echo', (...args) => args.pop()(...args))
      })
      io.of('/news').on('connection', (socket) => {
        socket.on('latest', (reply) => reply(`news for ${socket.handshake.auth.name}`))
      })
      url = `http://localhost:${await listen(server, 0, 'localhost')}`
      browser = await launchBrowser()
    },
    { timeout: 60_000 },
  )

  after(async () => {
    await browser?.close()
    await io?.close()
  })

  for (const { transports, settles } of variants) {
    describe(`with ${JSON.stringify(transports)}`, () => {
      let page
      /** The server's side of the page's socket. */
      let socket

      before(async () => {
        page = await browser.newPage()
        page.setDefaultTimeout(20_000)
        await page.addInitScript(`
          window.byteAt = ${byteAt}
          window.areRight = (buffer) => new Uint8Array(buffer).every((byte, index) => byte === byteAt(index))
        `)
        await page.goto(url)
        const connection = once(io, 'connection')
        await page.evaluate(
          async (options) => {
            window.socket = window.io(options)
            window.received = new Promise((resolve) => window.socket.once('bytes', resolve))
            await new Promise((resolve, reject) => {
              window.socket.once('connect', resolve).once('connect_error', reject)
            })
          },
          { transports },
        )
        ;[socket] = await connection
      })

      after(() => page?.close())

      test('connects and reaches the final transport', { timeout: 20_000 }, async () => {
        const transport = await page.evaluate(async (expected) => {
          const { engine } = window.socket.io
          const { name } = engine.transport
          if (name !== expected) await new Promise((resolve) => engine.once('upgrade', resolve))
          return engine.transport.name
        }, settles)
        assert.equal(transport, settles)
        // The page is done once it has sent its last packet; the server has yet to read that.
        if (socket.conn.transport.name !== settles) await once(socket.conn, 'upgrade')
        assert.equal(socket.conn.transport.name, settles)
        assert.equal(await page.evaluate(() => window.socket.id), socket.id)
      })

      test('echoes with an acknowledgement', { timeout: 20_000 }, async () => {
        const sent = ['text – 你好 👋', { nested: [1, null, true] }]
        const echoed = await page.evaluate(
          (args) =>
            new Promise((resolve) =>
              window.socket.emit('echo', ...args, (...back) => resolve(back)),
            ),
          sent,
        )
        assert.deepEqual(echoed, sent)
      })

      test('carries bytes from the page and back', { timeout: 20_000 }, async () => {
        const arrival = once(socket, 'upload')
        const back = page.evaluate(async (length) => {
          const sent = Uint8Array.from({ length }, (_, index) => window.byteAt(index))
          window.socket.emit('upload', sent.buffer)
          const back = await window.socket.emitWithAck('echo', sent.buffer)
          return back instanceof ArrayBuffer && back.byteLength === length && window.areRight(back)
        }, byteCount)
        const [upload] = await arrival
        assert.ok(upload.equals(bytes))
        assert.equal(await back, true)
      })

      test('carries bytes from the server', { timeout: 20_000 }, async () => {
        socket.emit('bytes', { inside: bytes })
        const [length, right] = await page.evaluate(async () => {
          const { inside } = await window.received
          return [inside.byteLength, window.areRight(inside)]
        })
        assert.deepEqual([length, right], [byteCount, true])
      })

      test('keeps namespaces apart on one connection', { timeout: 20_000 }, async () => {
        const [news, sameConnection, silent] = await page.evaluate(async () => {
          const other = window.socket.io.socket('/news', { auth: { name: 'Ada' } })
          const latest = await other.emitWithAck('latest')
          // Nothing listens for "echo" there; an answer would come before the following one.
          let answered = false
          other.emit('echo', 'anybody?', () => (answered = true))
          await other.emitWithAck('latest')
          const shared = other.io === window.socket.io
          other.disconnect()
          return [latest, shared, !answered]
        })
        assert.deepEqual([news, sameConnection, silent], ['news for Ada', true, true])
        assert.equal(await page.evaluate(() => window.socket.connected), true)
      })

      test('disconnects from the page', { timeout: 20_000 }, async () => {
        const disconnect = once(socket, 'disconnect')
        const reason = await page.evaluate(
          () =>
            new Promise((resolve) => {
              window.socket.once('disconnect', resolve)
              window.socket.disconnect()
            }),
        )
        assert.equal(reason, 'io client disconnect')
        assert.equal((await disconnect)[0], 'client namespace disconnect')
      })

      test('connects again and is disconnected by the server', { timeout: 20_000 }, async () => {
        const connection = once(io, 'connection')
        const reason = page.evaluate(
          () =>
            new Promise((resolve) => {
              window.socket.once('disconnect', resolve)
              window.socket.connect()
            }),
        )
        const [again] = await connection
        const disconnect = once(again, 'disconnect')
        again.disconnect(true)
        assert.equal((await disconnect)[0], 'server namespace disconnect')
        assert.equal(await reason, 'io server disconnect')
      })
    })
  }
})
