// WIRE-SAFETY 3: the limits over all connections. The first engine of a process sets them, so each
// test has an app of its own.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { App } from './support/app.mjs'
import { opened } from './support/client.mjs'
import { readText, text } from './support/frames.mjs'
import { WEBSOCKET, upgrade } from './support/http.mjs'
import { Peer } from './support/peer.mjs'

const MB = 1_000_000

async function program(options) {
  const server = createServer()
  const engine = new Engine(options)
  engine.attach(server)
  const sockets = new Map()
  engine.on('connection', (socket) => {
    sockets.set(socket.id, socket)
    const got = []
    socket.on('data', (data) => {
      if (data === 'block') {
        block(1000)
        return
      }
      got.push(data.length)
      if (data === 'end') {
        socket.send(`end ${got.length}`)
        tell('end', socket.id)
      }
    })
    socket.on('close', (reason, description) => {
      const { code, limit, value } = description ?? {}
      tell('close', { sid: socket.id, reason, code, limit, value })
    })
  })
  engine.on('limit', (limit) => tell('limit', limit))
  told('send', ({ sid, size }) => {
    sockets.get(sid).send('x'.repeat(size))
    // What that has led to is told by then.
    setTimeout(() => tell('sent'), 50)
  })
  told('broadcast', ({ sids, size }) => {
    const shared = { preEncoded: true }
    const data = 'x'.repeat(size)
    for (const sid of sids) sockets.get(sid).write(data, shared)
    setTimeout(() => tell('sent'), 50)
  })
  tell('port', await listen(server))
}

async function client(t, app) {
  const peer = await Peer.connect(app.port)
  t.after(() => peer.destroy())
  peer.write(upgrade(WEBSOCKET))
  const { sid } = await opened(peer)
  return { peer, sid }
}

function totals(name, options, body) {
  test(name, { timeout: 30_000 }, async (t) => {
    const app = await App.start(t, program, options)
    await body(app, t)
    const good = await client(t, app)
    good.peer.write(text('4end'))
    assert.equal(await readText(good.peer), '4end 1')
  })
}

describe('maxTotalSendBuffer', () => {
  const options = { maxTotalSendBuffer: 30 * MB, maxSendBuffer: 0 }

  totals(
    'the longest queue is closed: RST, transport error; the others go on',
    options,
    async (app, t) => {
      const longest = await client(t, app)
      const shorter = await client(t, app)
      for (const { peer } of [longest, shorter]) peer.pause()
      app.tell('send', { sid: longest.sid, size: 27 * MB })
      await app.report('sent', 1)
      assert.deepEqual(app.values('close'), [], 'below the limit nobody is closed')
      app.tell('send', { sid: shorter.sid, size: 20 * MB })
      await app.report('sent', 2)
      const close = await app.report('close')
      assert.deepEqual(close, {
        sid: longest.sid,
        reason: 'transport error',
        code: 'ERR_UPWIRE_SLOW_CONSUMER',
        limit: 'maxTotalSendBuffer',
        value: 30 * MB,
      })
      const limit = await app.report('limit')
      assert.deepEqual(
        [limit.name, limit.action, limit.sid],
        ['maxTotalSendBuffer', 'closed', longest.sid],
      )
      longest.peer.resume()
      await longest.peer.rest()
      assert.equal(longest.peer.ended, 'reset')
      shorter.peer.resume()
      assert.equal((await readText(shorter.peer)).length, 20 * MB + 1)
      assert.equal(app.values('close').length, 1)
    },
  )

  totals('what is freed does not count any more', options, async (app, t) => {
    for (let round = 1; round <= 3; round++) {
      const slow = await client(t, app)
      slow.peer.pause()
      app.tell('send', { sid: slow.sid, size: 25 * MB })
      await app.report('sent', round)
      slow.peer.reset()
      await app.report('close', round)
    }
    const reasons = app.values('close').map(({ code }) => code)
    assert.ok(!reasons.includes('ERR_UPWIRE_SLOW_CONSUMER'), `${reasons}`)
  })

  totals('a broadcast counts once', options, async (app, t) => {
    const clients = []
    for (let index = 0; index < 5; index++) clients.push(await client(t, app))
    for (const { peer } of clients) peer.pause()
    app.tell('broadcast', { sids: clients.map(({ sid }) => sid), size: 20 * MB })
    await app.report('sent')
    assert.deepEqual(app.values('close'), [])
    for (const { peer } of clients) {
      peer.resume()
      assert.equal((await readText(peer)).length, 20 * MB + 1)
    }
  })
})

describe('maxTotalReceiveQueue', () => {
  const options = { maxTotalReceiveQueue: MB, maxReceiveQueue: 200 * MB }

  totals('the largest is paused first; nothing is lost', options, async (app, t) => {
    const large = await client(t, app)
    const small = await client(t, app)
    const blocker = await client(t, app)
    blocker.peer.write(text('4block'))
    for (let index = 0; index < 9; index++) small.peer.write(text('4tiny'))
    const message = text(`4${'x'.repeat(10_000)}`)
    for (let index = 0; index < 3999; index++) large.peer.write(message)
    large.peer.write(text('4end'))
    assert.equal(await readText(large.peer), '4end 4000')
    small.peer.write(text('4end'))
    assert.equal(await readText(small.peer), '4end 10')
    const limits = app.values('limit')
    assert.ok(limits.length > 0, 'it was paused')
    assert.deepEqual(
      [limits[0].name, limits[0].limit, limits[0].action, limits[0].sid],
      ['maxTotalReceiveQueue', MB, 'paused', large.sid],
    )
    assert.ok(!limits.some(({ sid }) => sid === small.sid), 'the small one is not')
    assert.deepEqual(app.values('close'), [])
  })
})
