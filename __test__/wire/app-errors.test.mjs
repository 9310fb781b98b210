// Errors in listeners of the app (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { App } from '../support/app.mjs'
import { accepted, openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { uncaughtErrors, until } from '../support/events.mjs'
import { OP, close, frame, readClose, readFrame, readText, text } from '../support/frames.mjs'
import { POLLING, WEBSOCKET, get, post, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import {
  peerOf,
  appTest,
  engineProgram,
  assertUncaught,
  assertServes,
} from '../support/failing-app.mjs'

describe('an exception in a listener of a socket is one uncaughtException, and the rest is delivered', () => {
  appTest(
    'data: delivers the rest of the batch in order; the session and others go on',
    async (t) => {
      const app = await App.start(t, engineProgram, { fails: 'data 3' })
      const peer = await peerOf(t, app, upgrade())
      await opened(peer)
      peer.write(...Array.from({ length: 40 }, (_, index) => text(`4${index}`)))
      await app.report('data', 40)
      assert.deepEqual(
        app.values('data'),
        Array.from({ length: 40 }, (_, index) => String(index)),
      )
      await assertUncaught(app, ['in data 3'])
      assert.deepEqual(app.values('close'), [])
      peer.write(text('4still here'))
      assert.equal(await app.report('data', 41), 'still here')
      await assertServes(t, app)
    },
  )

  appTest('data of a payload on polling: delivers the rest of the payload', async (t) => {
    const app = await App.start(t, engineProgram, { fails: 'data 1', pingInterval: 10_000 })
    const { text: body } = await response(await peerOf(t, app, get(POLLING)))
    const { sid } = JSON.parse(body.slice(1))
    const peer = await peerOf(t, app, post(`${POLLING}&sid=${sid}`, '40\x1e41\x1e42\x1e43'))
    assert.equal((await response(peer)).text, 'ok')
    await app.report('data', 4)
    assert.deepEqual(app.values('data'), ['0', '1', '2', '3'])
    await assertUncaught(app, ['in data 1'])
    await assertServes(t, app)
  })

  for (const name of ['packet', 'heartbeat']) {
    appTest(`${name}: the session goes on`, async (t) => {
      const app = await App.start(t, engineProgram, { fails: name })
      const peer = await peerOf(t, app, upgrade())
      await opened(peer)
      assert.equal(await readText(peer), '2')
      peer.write(text('3'))
      assert.equal(await app.report('uncaught'), `in ${name}`)
      assert.equal(await readText(peer), '2', 'the next ping')
      assert.deepEqual(app.values('close'), [])
      assert.equal(app.values('uncaught').length, 1)
      await assertServes(t, app)
    })
  }

  for (const name of ['upgrading', 'upgrade']) {
    appTest(`${name}: the upgrade goes on`, async (t) => {
      const app = await App.start(t, engineProgram, { fails: name, pingInterval: 10_000 })
      const { text: body } = await response(await peerOf(t, app, get(POLLING)))
      const { sid } = JSON.parse(body.slice(1))
      const peer = await peerOf(t, app, upgrade(`${WEBSOCKET}&sid=${sid}`), text('2probe'))
      await accepted(peer)
      assert.equal(await readText(peer), '3probe')
      peer.write(text('5'), text('4moved'))
      assert.equal(await app.report('data'), 'moved')
      await assertUncaught(app, [`in ${name}`])
      assert.deepEqual(app.values('close'), [])
      await assertServes(t, app)
    })
  }

  appTest('close: the app is notified once and the session is forgotten', async (t) => {
    const app = await App.start(t, engineProgram, { fails: 'close' })
    const peer = await peerOf(t, app, upgrade())
    await opened(peer)
    peer.write(close(1000))
    assert.equal(await app.report('uncaught'), 'in close')
    assert.deepEqual(app.values('close'), ['transport close'])
    await assertServes(t, app)
    assert.equal(app.values('uncaught').length, 1)
  })

  appTest('drain: the messages have been sent and the session goes on', async (t) => {
    const app = await App.start(t, engineProgram, { fails: 'drain' })
    const peer = await peerOf(t, app, upgrade(), text('4send'))
    await opened(peer)
    for (const each of ['a', 'b', 'c']) assert.equal(await readText(peer), `4${each}`)
    await app.report('sent', 3)
    assert.equal(await app.report('uncaught'), 'in drain')
    assert.deepEqual(app.values('close'), [])
    await assertServes(t, app)
  })

  appTest('send callback: the other callbacks are called in order', async (t) => {
    const app = await App.start(t, engineProgram, { fails: 'callback a' })
    const peer = await peerOf(t, app, upgrade(), text('4send'))
    await opened(peer)
    for (const each of ['a', 'b', 'c']) assert.equal(await readText(peer), `4${each}`)
    await app.report('sent', 3)
    assert.deepEqual(app.values('sent'), ['a', 'b', 'c'])
    await assertUncaught(app, ['in callback a'])
    assert.deepEqual(app.values('close'), [])
  })

  appTest('a rejected promise is one unhandledRejection', async (t) => {
    const app = await App.start(t, engineProgram, {})
    const peer = await peerOf(t, app, upgrade(), text('4reject'), text('4after'))
    await opened(peer)
    await app.report('data', 2)
    assert.equal(await app.report('unhandled'), 'in a promise')
    await assertServes(t, app)
    assert.equal(app.values('unhandled').length, 1)
  })

  appTest(
    'without a handler the process ends with code 1 and a stack trace, not by a signal',
    async (t) => {
      const app = await App.start(t, engineProgram, { fails: 'data boom', handled: false })
      const peer = await peerOf(t, app, upgrade())
      await opened(peer)
      peer.write(text('4boom'))
      assert.deepEqual(await app.end(), { code: 1, signal: null })
      assert.match(app.output, /Error: in data boom\n\s+at /)
    },
  )
})

describe('an exception in a Socket.IO listener', () => {
  async function socketProgram({ handled = true }) {
    if (handled) process.on('uncaughtException', (error) => tell('uncaught', error.message))
    const server = createServer()
    const io = attach(server)
    io.on('connection', (socket) => {
      socket.on('boom', (value) => {
        tell('event', value)
        throw new Error(`in event ${value}`)
      })
      socket.on('calm', (value, ack) => {
        tell('event', value)
        ack?.(value)
      })
      socket.on('ask', () =>
        socket.emit('asked', () => {
          throw new Error('in ack')
        }),
      )
      socket.on('disconnect', () => {
        tell('disconnect')
        throw new Error('in disconnect')
      })
    })
    // Registered before socket.io's own listener, which lets the error through.
    io.engine.on('connection', (conn) =>
      conn.prependListener('close', (reason) => tell('close', reason)),
    )
    tell('port', await listen(server))
  }

  const target = WEBSOCKET.replace('engine.io', 'socket.io')

  async function connected(t, app) {
    const peer = await peerOf(t, app, upgrade(target))
    await opened(peer)
    peer.write(text('40'))
    assert.match(await readText(peer), /^40/)
    return peer
  }

  appTest(
    'event handlers: each error surfaces once, and the events between are handled in order',
    async (t) => {
      const app = await App.start(t, socketProgram)
      const peer = await connected(t, app)
      const other = await connected(t, app)
      const events = Array.from({ length: 12 }, (_, n) =>
        text(`42["${n % 3 === 0 ? 'boom' : 'calm'}",${n}]`),
      )
      peer.write(...events)
      await app.report('event', 12)
      assert.deepEqual(
        app.values('event'),
        Array.from({ length: 12 }, (_, n) => n),
      )
      await assertUncaught(
        app,
        [0, 3, 6, 9].map((n) => `in event ${n}`),
      )
      for (const each of [peer, other]) {
        each.write(text('421["calm","ok"]'))
        assert.equal(await readText(each), '431["ok"]')
      }
      assert.deepEqual(app.values('close'), [])
    },
  )

  appTest('an acknowledgement: the error surfaces once', async (t) => {
    const app = await App.start(t, socketProgram)
    const peer = await connected(t, app)
    peer.write(text('42["ask"]'))
    const packet = await readText(peer)
    const id = /^42(\d+)\["asked"\]$/.exec(packet)[1]
    peer.write(text(`43${id}[]`), text('421["calm","after"]'))
    assert.equal(await readText(peer), '431["after"]')
    await assertUncaught(app, ['in ack'])
    assert.deepEqual(app.values('close'), [])
  })

  appTest('a disconnect handler: other sessions close and are notified as well', async (t) => {
    const app = await App.start(t, socketProgram)
    const peers = [await connected(t, app), await connected(t, app), await connected(t, app)]
    for (const peer of peers) peer.reset()
    await app.report('close', 3)
    await app.report('disconnect', 3)
    const peer = await connected(t, app)
    peer.write(text('421["calm","ok"]'))
    assert.equal(await readText(peer), '431["ok"]')
    await assertUncaught(app, Array(3).fill('in disconnect'))
  })

  for (const event of ['boom', 'ask']) {
    appTest(`${event}: without a handler the process ends with code 1`, async (t) => {
      const app = await App.start(t, socketProgram, { handled: false })
      const peer = await connected(t, app)
      peer.write(text(`42["${event}",1]`))
      if (event === 'ask') {
        assert.equal(await readText(peer), '420["asked"]')
        peer.write(text('430[]'))
      }
      assert.deepEqual(await app.end(), { code: 1, signal: null })
      assert.match(app.output, /Error: in (event 1|ack)\n\s+at /)
    })
  }
})

describe('an engine listener that throws', () => {
  for (const name of ['headers', 'initial_headers']) {
    for (const [transport, bytes] of [
      ['polling', get(POLLING)],
      ['websocket', upgrade()],
    ]) {
      appTest(
        `${name}, ${transport} handshake: 500 and no session; the error surfaces`,
        async (t) => {
          const app = await App.start(t, engineProgram, { fails: `engine ${name}` })
          const peer = await peerOf(t, app, bytes)
          assert.equal((await response(peer)).status, 500)
          assert.equal(await app.report('uncaught'), `in engine ${name}`)
          await assertServes(t, app)
          // No session may have been announced that is not gone; here none should have been
          // announced.
          assert.deepEqual(
            app.values('session'),
            ['websocket'],
            'only the good client has a session',
          )
          assert.equal(app.values('uncaught').length, 1)
        },
      )
    }
  }

  wire('headers, GET of a session: 500', {}, async (world, t) => {
    const client = await openPolling(world)
    const errors = uncaughtErrors(t)
    const parked = await client.park()
    world.engine.prependOnceListener('headers', fail)
    client.session.socket.send('news')
    await assertInternalError(parked, errors)
  })

  wire('headers, POST of a session: 500', {}, async (world, t) => {
    const client = await openPolling(world)
    const errors = uncaughtErrors(t)
    world.engine.prependOnceListener('headers', fail)
    await assertInternalError(await client.post('4hello'), errors)
  })

  async function assertInternalError(peer, errors) {
    const { status, text: body } = await response(peer)
    assert.equal(status, 500)
    assert.ok(!body.includes('of a listener'), 'the answer reveals nothing')
    await until(() => errors.length > 0, 'the error to surface')
    assert.deepEqual(errors, ['of a listener'])
  }

  function fail() {
    throw new Error('of a listener')
  }

  appTest(
    'connection, on WebSocket: that session closes, and the peer sees only HTTP before frames',
    async (t) => {
      const app = await App.start(t, engineProgram, { fails: 'engine connection' })
      const peer = await peerOf(t, app, upgrade(), text('4hello'))
      const first = await peer.some()
      if (first) {
        await accepted(peer)
        let got = await readFrame(peer)
        if (got.opcode === OP.TEXT) got = await readFrame(peer)
        assert.deepEqual([got.opcode, got.payload.length], [OP.CLOSE, 0])
        peer.write(close())
        assert.equal((await peer.rest()).length, 0)
      }
      assert.equal(await app.report('uncaught'), 'in engine connection')
      await assertServes(t, app)
      assert.equal(app.values('uncaught').length, 1)
      await app.report('data')
      assert.deepEqual(app.values('data'), ['send'])
    },
  )

  wire(
    'limit: the session still ends, and the error surfaces',
    { maxFragments: 1 },
    async (world, t) => {
      const errors = uncaughtErrors(t)
      world.engine.once('limit', fail)
      const { peer, session } = await openWebSocket(world)
      peer.write(text('4', { fin: false }), text('4', { fin: false }))
      assert.equal(await readClose(peer), 1002)
      const other = await openWebSocket(world)
      other.peer.write(text('4', { fin: false }), frame(OP.CONTINUATION, 'x'))
      assert.equal(await readClose(other.peer), 1008)
      for (const each of [session, other.session]) {
        const { reason } = await each.closed()
        assert.equal(reason, 'transport error')
      }
      assert.deepEqual(errors, ['of a listener'])
    },
  )

  wire('the transport’s close: the session’s close follows all the same', {}, async (world, t) => {
    const errors = uncaughtErrors(t)
    const { peer, session } = await openWebSocket(world)
    session.socket.transport.on('close', fail)
    peer.write(close())
    await session.closed()
    assert.deepEqual(errors, ['of a listener'])
  })

  wire(
    'headers with an invalid value: 500 and no session; the error surfaces',
    {},
    async (world, t) => {
      const errors = uncaughtErrors(t)
      const spoil = (headers) => {
        headers['X-A'] = 'a\r\nb'
      }
      world.engine.on('headers', spoil)
      const answer = await response(await world.peer(get(POLLING)))
      assert.equal(answer.line, 'HTTP/1.1 500 Internal Server Error')
      await until(() => world.engine.clientsCount === 0, 'no session to be left')
      assert.equal(errors.length, 1)
      world.engine.off('headers', spoil)
    },
  )

  appTest('connection, on polling: that session closes', async (t) => {
    const app = await App.start(t, engineProgram, { fails: 'engine connection' })
    const peer = await peerOf(t, app, get(POLLING))
    const { status, text: body } = await response(peer)
    assert.equal(await app.report('uncaught'), 'in engine connection')
    const sid = /"sid":"([\w-]+)"/.exec(body)?.[1]
    if (status === 200 && sid !== undefined) {
      const { status: gone, text: again } = await response(
        await peerOf(t, app, get(`${POLLING}&sid=${sid}`)),
      )
      assert.ok(gone === 400 || again === '1', `${gone} ${again}`)
    }
    await assertServes(t, app)
  })

  wire('connection: the close reason is forced close', {}, async (world, t) => {
    const errors = uncaughtErrors(t)
    world.engine.once('connection', fail)
    const peer = await world.peer(upgrade())
    const session = await world.session().catch(() => undefined)
    // The world's listener ran first, so it knows the session.
    assert.equal((await session.closed()).reason, 'forced close')
    await until(() => errors.length === 1, 'the error to surface')
    peer.destroy()
  })

  for (const [transport, bytes, status] of [
    ['polling', get('/engine.io/?EIO=4&transport=none'), 400],
    ['websocket', upgrade('/engine.io/?EIO=4&transport=none'), 400],
  ]) {
    appTest(
      `connection_error, ${transport}: the refusal is answered first, then the error surfaces`,
      async (t) => {
        const app = await App.start(t, engineProgram, { fails: 'engine connection_error' })
        const answer = await response(await peerOf(t, app, bytes))
        assert.equal(answer.status, status)
        assert.match(answer.text, /Transport unknown/)
        assert.equal(await app.report('uncaught'), 'in engine connection_error')
        await assertServes(t, app)
        assert.equal(app.values('uncaught').length, 1)
      },
    )
  }
})
