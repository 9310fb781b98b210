// The limits over all connections (docs/protocol.md#limits). The first engine of a process sets
// them, so each test has an app of its own.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '../support/events.mjs'
import { App } from '../support/app.mjs'
import { opened } from '../support/engine-clients.mjs'
import { readClose, readText, text } from '../support/frames.mjs'
import { POLLING, WEBSOCKET, get, post, response, upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'

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
      if (slowness > 0) block(slowness)
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
  hear('send', ({ sid, size }) => {
    sockets.get(sid).send('x'.repeat(size))
    // By then the app has been told about every consequence.
    setTimeout(() => tell('sent'), 50)
  })
  let slowness = 0
  hear('slow', (ms) => {
    slowness = ms
    tell('slow')
  })
  hear('stats', () => tell('stats', engine.stats()))
  hear('broadcast', ({ sids, size }) => {
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

  totals('closes the longest queue and no other: RST, transport error', options, async (app, t) => {
    const longest = await client(t, app)
    const shorter = await client(t, app)
    for (const { peer } of [longest, shorter]) peer.pause()
    app.send('send', { sid: longest.sid, size: 27 * MB })
    await app.report('sent', 1)
    assert.deepEqual(app.values('close'), [], 'no session is closed below the limit')
    app.send('send', { sid: shorter.sid, size: 20 * MB })
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
  })

  totals('no longer counts what has been sent', options, async (app, t) => {
    for (let round = 1; round <= 3; round++) {
      const slow = await client(t, app)
      slow.peer.pause()
      app.send('send', { sid: slow.sid, size: 25 * MB })
      await app.report('sent', round)
      slow.peer.reset()
      await app.report('close', round)
    }
    const reasons = app.values('close').map(({ code }) => code)
    assert.ok(!reasons.includes('ERR_UPWIRE_SLOW_CONSUMER'), `${reasons}`)
  })

  totals('counts a broadcast once', options, async (app, t) => {
    const clients = []
    for (let index = 0; index < 5; index++) clients.push(await client(t, app))
    for (const { peer } of clients) peer.pause()
    app.send('broadcast', { sids: clients.map(({ sid }) => sid), size: 20 * MB })
    await app.report('sent')
    assert.deepEqual(app.values('close'), [])
    for (const { peer } of clients) {
      peer.resume()
      assert.equal((await readText(peer)).length, 20 * MB + 1)
    }
  })
})

describe('maxTotalSendBuffer with two I/O threads', () => {
  const options = { maxTotalSendBuffer: 40 * MB, maxSendBuffer: 0, ioThreads: 2 }

  totals('closes the longest queue, whichever thread it is on', options, async (app, t) => {
    const clients = []
    for (let index = 0; index < 4; index++) clients.push(await client(t, app))
    for (const { peer } of clients) peer.pause()
    // Sessions alternate between the threads.
    const sizes = [28, 12, 13, 11]
    for (const [index, { sid }] of clients.entries()) {
      app.send('send', { sid, size: sizes[index] * MB })
      await app.report('sent', index + 1)
    }
    const { sid } = await app.report('close')
    assert.equal(sid, clients[0].sid)
    for (const { peer } of clients.slice(1)) {
      peer.resume()
      await readText(peer)
    }
    assert.equal(app.values('close').length, 1)
  })
})

describe('unfinished messages', () => {
  const options = { maxTotalReceiveQueue: 16 * MB }
  const part = text(`4${'x'.repeat(900_000)}`).subarray(0, 800_000)

  async function stats(app) {
    app.send('stats')
    return app.report('stats', app.values('stats').length + 1)
  }

  totals(
    'may take half of the total; beyond it the oldest are closed with 1013',
    options,
    async (app, t) => {
      const clients = []
      for (let index = 0; index < 30; index++) {
        const each = await client(t, app)
        each.peer.write(part)
        await each.peer.flushed()
        clients.push(each)
      }
      await app.report('close', 18)
      const { unfinished, undelivered } = await stats(app)
      assert.ok(unfinished > 5 * MB && unfinished <= 8 * MB, `${unfinished}`)
      assert.ok(undelivered < 1000, `${undelivered}`)
      const closes = app.values('close')
      assert.deepEqual(closes[0], {
        sid: closes[0].sid,
        reason: 'transport error',
        code: 'ERR_UPWIRE_SLOW_PRODUCER',
        limit: 'maxTotalReceiveQueue',
        value: 16 * MB,
      })
      assert.ok(!closes.some(({ sid }) => sid === clients.at(-1).sid), 'the newest is not closed')
      const [limit] = app.values('limit')
      assert.deepEqual([limit.name, limit.action], ['maxTotalReceiveQueue', 'closed'])
      assert.equal(await readClose(clients[0].peer), 1013)
      for (const { peer } of clients) peer.destroy()
      await app.report('close', 30)
      assert.equal((await stats(app)).unfinished, 0)
    },
  )

  totals('count on polling too', options, async (app, t) => {
    const peers = []
    for (let index = 0; index < 30; index++) {
      const opening = await Peer.connect(app.port)
      opening.write(get(POLLING))
      const answer = await response(opening)
      assert.equal(answer.status, 200, answer.text)
      const { sid } = JSON.parse(answer.text.slice(1))
      opening.destroy()
      const peer = await Peer.connect(app.port)
      t.after(() => peer.destroy())
      peer.write(post(`${POLLING}&sid=${sid}`, 'x'.repeat(900_000)).subarray(0, 800_000))
      peers.push(peer)
    }
    await app.report('close', 15)
    const { unfinished } = await stats(app)
    assert.ok(unfinished > 4 * MB && unfinished <= 8 * MB, `${unfinished}`)
    for (const { code } of app.values('close')) assert.equal(code, 'ERR_UPWIRE_SLOW_PRODUCER')
    for (const peer of peers) peer.destroy()
    await app.report('close', 30)
    assert.equal((await stats(app)).unfinished, 0)
  })

  totals('do not close one that grows because of others that do not', options, async (app, t) => {
    const good = await client(t, app)
    const whole = text(`4${'y'.repeat(990_000)}`)
    for (let index = 0; index < 30; index++) {
      const { peer } = await client(t, app)
      peer.write(part)
      await peer.flushed()
      good.peer.write(whole.subarray(index * 30_000, (index + 1) * 30_000))
      await good.peer.flushed()
    }
    good.peer.write(whole.subarray(30 * 30_000))
    good.peer.write(text('4end'))
    assert.equal(await readText(good.peer), '4end 2')
  })
})

describe('handshakes while too much is undelivered', () => {
  const options = {
    maxTotalReceiveQueue: MB,
    maxReceiveQueue: 200 * MB,
    maxHttpBufferSize: 150_000,
  }

  totals('get 503, and are accepted again once it has been delivered', options, async (app, t) => {
    const large = await client(t, app)
    // Requests are handled between two messages of a second each.
    app.send('slow', 30)
    await app.report('slow')
    const message = text(`4${'x'.repeat(100_000)}`)
    for (let index = 0; index < 30; index++) large.peer.write(message)
    large.peer.write(text('4end'))
    const { headers, json } = await until(async () => {
      const early = await Peer.connect(app.port)
      t.after(() => early.destroy())
      early.write(get(POLLING))
      const answer = await response(early)
      return answer.status === 503 ? answer : undefined
    }, 'a refused handshake')
    assert.match(headers['retry-after'], /^[1-5]$/)
    assert.deepEqual(json, { code: 4, message: 'Too many connections' })
    assert.equal(await readText(large.peer), '4end 31')
    app.send('slow', 0)
    const limit = app.values('limit').find(({ action }) => action === 'refused')
    assert.deepEqual([limit.name, limit.limit], ['maxTotalReceiveQueue', MB])
  })
})

describe('maxTotalReceiveQueue', () => {
  const options = { maxTotalReceiveQueue: MB, maxReceiveQueue: 200 * MB }

  totals('pauses the largest queue first, and loses nothing', options, async (app, t) => {
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
    assert.ok(!limits.some(({ sid }) => sid === small.sid), 'the small one is not paused')
    assert.deepEqual(app.values('close'), [])
  })
})
