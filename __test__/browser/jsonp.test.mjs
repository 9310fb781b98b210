// The client of Socket.IO 2 with JSONP in Chromium: on a page of the server, and on one of another site.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { attach } from 'upwire'
import { launchBrowser, skip } from './browser.mjs'
import { listen } from '../support/ports.mjs'

const require = createRequire(import.meta.url)
const bundle = readFileSync(require.resolve('socket.io-client-2/dist/socket.io.js'))
const html =
  '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script src="/client.js"></script>'

function respond(req, res) {
  if (req.url === '/client.js') res.setHeader('content-type', 'text/javascript').end(bundle)
  else res.setHeader('content-type', 'text/html').end(html)
}

describe('JSONP', { skip, timeout: 120_000 }, () => {
  let browser
  let server
  let other
  let io
  let url
  let otherUrl

  before(
    async () => {
      server = createServer(respond)
      other = createServer(respond)
      io = attach(server, { allowEIO3: true })
      io.on('connection', (socket) => socket.on('echo', (...args) => args.pop()(...args)))
      url = `http://localhost:${await listen(server, 0, 'localhost')}`
      otherUrl = `http://127.0.0.1:${await listen(other, 0, '127.0.0.1')}`
      browser = await launchBrowser()
    },
    { timeout: 60_000 },
  )

  after(async () => {
    await browser?.close()
    other?.close()
    other?.closeAllConnections()
    await io?.close()
  })

  async function open(address) {
    const page = await browser.newPage()
    page.setDefaultTimeout(20_000)
    await page.goto(address)
    await page.evaluate((target) => {
      const options = { transports: ['polling'], forceJSONP: true, reconnection: false }
      window.socket = window.io(target, options)
      window.outcome = new Promise((resolve) => {
        for (const name of ['connect', 'connect_error']) window.socket.on(name, () => resolve(name))
      })
    }, url)
    return page
  }

  test('an own page connects, and exchanges text and binary', async () => {
    const page = await open(url)
    assert.equal(await page.evaluate(() => window.outcome), 'connect')
    const texts = ['a\nb\\nc "quoted"', '\u2028\u2029\u20ac\u{1f600}', '</script><!--']
    for (const text of texts) {
      const back = await page.evaluate(
        (sent) => new Promise((resolve) => window.socket.emit('echo', sent, resolve)),
        text,
      )
      assert.equal(back, text)
    }
    const bytes = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const sent = new Uint8Array([0, 1, 254, 255]).buffer
          window.socket.emit('echo', sent, (back) => resolve([...new Uint8Array(back)]))
        }),
    )
    assert.deepEqual(bytes, [0, 1, 254, 255])
    const names = await page.evaluate(() =>
      window.performance.getEntriesByType('resource').map(({ name }) => name),
    )
    assert.ok(
      names.some((name) => /transport=polling.*[&?]j=0/.test(name)),
      names.join('\n'),
    )
    await page.close()
  })

  test('a page of another site is refused, also when it hides its address', async () => {
    let sessions = 0
    io.engine.on('connection', () => sessions++)
    const page = await open(otherUrl)
    assert.equal(await page.evaluate(() => window.outcome), 'connect_error')
    const isRead = await page.evaluate(
      (target) =>
        new Promise((resolve) => {
          window.___eio = [() => resolve(true)]
          const script = document.createElement('script')
          script.referrerPolicy = 'no-referrer'
          script.src = `${target}/socket.io/?EIO=4&transport=polling&j=0`
          script.onerror = script.onload = () => resolve(false)
          document.head.append(script)
        }),
      url,
    )
    assert.equal(isRead, false)
    assert.equal(sessions, 0)
    await page.close()
  })
})
