// Errors in the app's own code (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { App } from '../support/app.mjs'
import { accepted, openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { uncaughtErrors, until } from '../support/events.mjs'
import { OP, close, frame, readClose, readFrame, readText, text } from '../support/frames.mjs'
import { POLLING, WEBSOCKET, get, post, response, upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { wire } from '../support/world.mjs'

/** A TCP connection to an app; it is closed after the test. */
async function peerOf(t, app, ...bytes) {
  const peer = await Peer.connect(app.port)
  t.after(() => peer.destroy())
  return peer.write(...bytes)
}

/** A test with an app in a process of its own. */
function appTest(name, body) {
  test(name, { timeout: 30_000 }, body)
}

/**
 * An engine whose listeners throw where the options say so. It reports the errors that reach the
 * process.
 */
async function engineProgram({ fails, handled = true, ...options }) {
  if (handled) process.on('uncaughtException', (error) => tell('uncaught', error.message))
  process.on('unhandledRejection', (error) => tell('unhandled', error.message))
  const server = createServer((_req, res) => res.end())
  const engine = new Engine({ pingInterval: 50, pingTimeout: 2000, ...options })
  engine.attach(server)
  const fail = (where) => {
    if (where === fails) throw new Error(`in ${where}`)
  }
  for (const name of ['headers', 'initial_headers', 'connection_error', 'flush', 'drain']) {
    engine.on(name, (...args) => {
      // A second request of the same client is served.
      const req = args.at(-1)?.req ?? args.at(-1)
      if (req?._query?.good === undefined) fail(`engine ${name}`)
    })
  }
  engine.on('connection', (socket) => {
    if (socket.request._query.good === undefined) fail('engine connection')
  })
  engine.on('connection', (socket) => {
    const bad = socket.request._query.good === undefined
    tell('session', socket.transport.name)
    for (const name of ['data', 'packet', 'heartbeat', 'upgrading', 'upgrade', 'close', 'drain']) {
      socket.on(name, (value) => {
        if (name === 'close') tell('close', value)
        if (name === 'data') tell('data', value)
        const where = name === 'data' ? `data ${value}` : name
        if (bad) fail(where)
      })
    }
    socket.on('data', (value) => {
      if (value === 'send') for (const each of ['a', 'b', 'c']) socket.send(each, () => sent(each))
      if (value === 'reject' && bad) Promise.reject(new Error('in a promise'))
    })
    const sent = (each) => {
      tell('sent', each)
      fail(`callback ${each}`)
    }
  })
  tell('port', await listen(server))
}

/** Checks that exactly these errors reached the process, in order. */
async function assertUncaught(app, messages) {
  await app.report('uncaught', messages.length)
  assert.deepEqual(app.values('uncaught'), messages)
}

/** Opens a good client of an app, which asks a question and gets the answer. */
async function assertServes(t, app) {
  const peer = await peerOf(t, app, upgrade(`${WEBSOCKET}&good=1`), text('4send'))
  await opened(peer)
  const got = []
  while (got.length < 3) {
    const packet = await readText(peer)
    if (packet !== '2') got.push(packet)
  }
  assert.deepEqual(got, ['4a', '4b', '4c'])
  peer.destroy()
}

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

describe('allowRequest', () => {
  const good = { good: 1 }
  const except = (allow) => (req, done) => (req._query.good ? done(null, true) : allow(req, done))
  const error = new Error('bad token')

  for (const [name, allow] of Object.entries({
    throws: () => {
      throw error
    },
    rejects: async () => {
      throw error
    },
  })) {
    wire(
      `${name}: 403 with code 4, ALLOW_REQUEST_ERROR`,
      { allowRequest: except(allow) },
      async (world) => {
        world.goodQuery = good
        const polling = await response(await world.peer(get(POLLING)))
        assert.equal(polling.status, 403)
        assert.deepEqual(polling.json, { code: 4, message: 'Forbidden' })
        const websocket = await response(await world.peer(upgrade()))
        assert.deepEqual([websocket.status, websocket.text], [403, 'Forbidden'])
        for (const { code, context } of [await world.refusal(), await world.refusal()]) {
          assert.equal(code, 4)
          assert.deepEqual(context, { name: 'ALLOW_REQUEST_ERROR', error })
        }
        assert.deepEqual(world.sessions, [])
      },
    )
  }

  appTest(
    'fails without a connection_error listener: one warning, and the process lives on',
    async (t) => {
      const app = await App.start(t, async () => {
        process.on('warning', ({ code }) => tell('warning', code))
        const server = createServer()
        const engine = new Engine({
          allowRequest: (req, done) => {
            if (req._query.good) return done(null, true)
            throw new Error('bad token')
          },
        })
        engine.attach(server)
        engine.on('connection', (socket) =>
          socket.on('data', () => {
            for (const each of ['a', 'b', 'c']) socket.send(each)
          }),
        )
        tell('port', await listen(server))
      })
      for (let round = 0; round < 5; round++) {
        assert.equal((await response(await peerOf(t, app, get(POLLING)))).status, 403)
        assert.equal((await response(await peerOf(t, app, upgrade()))).status, 403)
      }
      await assertServes(t, app)
      assert.equal(app.values('warning').length, 1)
      assert.match(app.values('warning')[0], /^UPWIRE_/)
    },
  )

  wire(
    'calls back twice: the first answer counts',
    {
      allowRequest: except((_req, done) => {
        done('first', false)
        done(null, true)
      }),
    },
    async (world) => {
      world.goodQuery = good
      assert.equal((await response(await world.peer(get(POLLING)))).status, 403)
      const peer = await world.peer(upgrade())
      await response(peer)
      await peer.rest()
      assert.deepEqual(world.sessions, [])
      assert.equal(world.refusals.length, 2)
    },
  )

  wire(
    'calls back yes, then no, then throws: a session',
    {
      allowRequest: except((_req, done) => {
        done(null, true)
        done('second', false)
        throw new Error('too late')
      }),
    },
    async (world) => {
      world.goodQuery = good
      assert.equal((await response(await world.peer(get(POLLING)))).status, 200)
      await opened(await world.peer(upgrade()))
      assert.equal(world.sessions.length, 2)
      assert.deepEqual(world.refusals, [])
    },
  )

  for (const [name, message] of Object.entries({
    'CRLF and a header': 'no\r\nSet-Cookie: a=b\r\n\r\n<html>',
    '8-bit text': 'n\u00e9 \u20ac \u{1f389} \ud800',
    '5 KB': 'x'.repeat(5000),
    'quotes and markup': '"\\</script><b>',
  })) {
    const refused = (status) => `${name} as its message: sent in the body alone, ${status}`
    wire(
      refused('JSON-escaped'),
      { allowRequest: except((_req, done) => done(message, false)) },
      async (world) => {
        world.goodQuery = good
        const answer = await response(await world.peer(get(POLLING)))
        assert.equal(answer.status, 403)
        assert.equal(answer.headers['set-cookie'], undefined)
        assert.equal(answer.text, Buffer.from(JSON.stringify({ code: 4, message })).toString())
        assert.deepEqual((await world.refusal()).context, { message })
      },
    )

    wire(
      refused('with its length in bytes'),
      { allowRequest: except((_req, done) => done(message, false)) },
      async (world) => {
        world.goodQuery = good
        const peer = await world.peer(upgrade())
        const answer = await response(peer)
        assert.equal(answer.headers['set-cookie'], undefined)
        assert.equal(answer.text, Buffer.from(message).toString())
        assert.equal((await peer.rest()).length, 0, 'nothing follows the stated length')
        assert.match(answer.line, /^HTTP\/1\.1 40[03] [A-Za-z ]+$/)
      },
    )
  }

  wire(
    'refuses an upgrade: 400 (docs/protocol.md#error-answers)',
    { allowRequest: except((_req, done) => done('no', false)) },
    async (world) => {
      world.goodQuery = good
      const answer = await response(await world.peer(upgrade()))
      assert.deepEqual([answer.status, answer.text], [400, 'no'])
    },
  )

  for (const value of [undefined, null, 0, '', {}, new Error('object')]) {
    wire(
      `refuses with ${value}: the body is a text`,
      { allowRequest: except((_req, done) => done(value, false)) },
      async (world) => {
        world.goodQuery = good
        const { status, json } = await response(await world.peer(get(POLLING)))
        assert.equal(status, 403)
        assert.equal(typeof json.message, 'string')
        assert.equal((await response(await world.peer(upgrade()))).headers.connection, 'close')
      },
    )
  }
})

describe('a step that never ends gets 503 at handshakeTimeout', () => {
  const steps = {
    allowRequest: { options: { allowRequest: (req, done) => req._query.good && done(null, true) } },
    middleware: { use: (req, _res, next) => req._query.good && next() },
    generateId: { never: true },
  }
  for (const [name, { options, use, never }] of Object.entries(steps)) {
    const prepare = ({ engine }) => {
      if (use) engine.use(use)
      if (!never) return
      const { generateId } = engine
      engine.generateId = (req) =>
        req._query.good ? generateId.call(engine) : new Promise(() => {})
    }

    wire(`${name}`, { ...options, handshakeTimeout: 150 }, async (world) => {
      world.goodQuery = { good: 1 }
      prepare(world)
      const started = performance.now()
      const peers = [await world.peer(get(POLLING)), await world.peer(upgrade())]
      for (const peer of peers) {
        const answer = await response(peer)
        assert.equal(answer.status, 503)
        assert.match(answer.headers['retry-after'], /^[1-5]$/)
      }
      assert.ok(performance.now() - started > 100, 'not before handshakeTimeout')
      assert.equal((await peers[1].rest()).length, 0)
      assert.equal(world.refusals.length, 2)
      assert.deepEqual(world.sessions, [])
    })

    wire(
      `${name}: releases its place at once when the client leaves`,
      { ...options, maxPendingHandshakes: 2 },
      async (world) => {
        world.goodQuery = { good: 1 }
        prepare(world)
        const peers = [await world.peer(get(POLLING)), await world.peer(upgrade())]
        const busy = async () => (await response(await world.peer(get(POLLING)))).status === 503
        await until(
          async () => world.refusals.length > 0 || (await busy()),
          'both places to be taken',
        )
        for (const peer of peers) peer.reset()
        // handshakeTimeout is 20 s, so only the clients' leaving can free the places in time.
        await until(async () => {
          const peer = await world.peer(get(`${POLLING}&good=1`))
          return (await response(peer)).status === 200
        }, 'a free place')
      },
    )
  }
})

describe('values that cannot be sent, and values that change after sending', () => {
  wire(
    'emit throws to the caller for a value that cannot be encoded, and sends no part of it',
    {},
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      const error = new Error('in toString')
      const bad = {
        toString() {
          throw error
        },
      }
      session.socket.send('before')
      assert.throws(() => session.socket.send(bad), error)
      assert.throws(() => session.socket.send(Object.create(null)), TypeError)
      session.socket.send('after')
      assert.equal(await readText(peer), '4before')
      assert.equal(await readText(peer), '4after')
    },
  )

  wire('a symbol throws to the caller or is sent as text', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    session.socket.send(Symbol('x'))
    session.socket.send('after')
    assert.equal(await readText(peer), '4Symbol(x)')
    assert.equal(await readText(peer), '4after')
  })

  appTest(
    'a Socket.IO packet that cannot become JSON throws to the caller, also with a binary part',
    async (t) => {
      const app = await App.start(t, async () => {
        const server = createServer()
        const io = attach(server)
        io.on('connection', (socket) => {
          const circular = { bytes: Buffer.from('x') }
          circular.self = circular
          const attempts = [{ big: 1n }, [Buffer.from('a'), 1n], circular]
          for (const attempt of attempts) {
            try {
              socket.emit('bad', attempt)
              tell('thrown', false)
            } catch (error) {
              tell('thrown', error instanceof Error)
            }
          }
          try {
            io.emit('bad', { big: 1n })
            tell('thrown', false)
          } catch (error) {
            tell('thrown', error instanceof Error)
          }
          socket.emit('good', 1)
        })
        tell('port', await listen(server))
      })
      const peer = await peerOf(t, app, upgrade(WEBSOCKET.replace('engine.io', 'socket.io')))
      await opened(peer)
      peer.write(text('40'))
      assert.match(await readText(peer), /^40/)
      await app.report('thrown', 4)
      assert.deepEqual(app.values('thrown'), [true, true, true, true])
      assert.equal(await readText(peer), '42["good",1]', 'no part of the other messages was sent')
    },
  )

  const SIZE = [6, 200_000]
  for (const size of SIZE) {
    const fill = (byte) => Buffer.alloc(size, byte)

    /** Sends in each way, then lets the app change what it has sent. */
    async function assertAsAtCall(world, make, spoil) {
      const { peer, session } = await openWebSocket(world)
      const ways = {
        write: (data) => session.socket.write(data),
        'with a callback': (data) => session.socket.send(data, () => {}),
        broadcast: (data) => session.socket.write(data, { preEncoded: true, compress: true }),
      }
      for (const [name, way] of Object.entries(ways)) {
        const data = make()
        way(data)
        spoil(data)
        const { opcode, payload } = await readFrame(peer)
        assert.equal(opcode, OP.BINARY)
        assert.ok(payload.equals(fill(1)), `${name}: ${payload.length} bytes of ${payload[0]}`)
      }
    }

    wire(
      `a Buffer of ${size} bytes that is refilled is sent with the bytes of the call`,
      {},
      (world) =>
        assertAsAtCall(
          world,
          () => fill(1),
          (buffer) => buffer.fill(2),
        ),
    )

    wire(
      `an ArrayBuffer of ${size} bytes that is transferred is sent with the bytes of the call`,
      {},
      (world) =>
        assertAsAtCall(
          world,
          () => new Uint8Array(fill(1)).buffer,
          (buffer) => {
            const moved = structuredClone(buffer, { transfer: [buffer] })
            new Uint8Array(moved).fill(2)
            assert.equal(buffer.byteLength, 0)
          },
        ),
    )

    wire(
      `an ArrayBuffer of ${size} bytes that is resized is sent with the bytes of the call`,
      {},
      (world) =>
        assertAsAtCall(
          world,
          () => {
            const buffer = new ArrayBuffer(size, { maxByteLength: size * 2 })
            new Uint8Array(buffer).fill(1)
            return buffer
          },
          (buffer) => buffer.resize(1),
        ),
    )

    wire(`a SharedArrayBuffer of ${size} bytes that changes is sent whole`, {}, (world) =>
      assertAsAtCall(
        world,
        () => {
          const buffer = new SharedArrayBuffer(size)
          new Uint8Array(buffer).fill(1)
          return new Uint8Array(buffer)
        },
        (view) => view.fill(2),
      ),
    )

    wire(
      `a Buffer of ${size} bytes on polling that changes before a GET comes is sent with the bytes of the call`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const buffer = fill(1)
        client.session.socket.send(buffer)
        buffer.fill(2)
        assert.equal(await client.poll(), `b${fill(1).toString('base64')}`)
      },
    )
  }

  wire('a value that is already detached is sent as an empty message', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const buffer = new ArrayBuffer(10)
    const views = [
      new Uint8Array(buffer, 2, 4),
      new DataView(buffer, 2),
      new Uint16Array(buffer, 2),
    ]
    structuredClone(buffer, { transfer: [buffer] })
    for (const data of [buffer, ...views]) {
      session.socket.send(data)
      const { opcode, payload } = await readFrame(peer)
      assert.deepEqual([opcode, payload.length], [OP.BINARY, 0])
    }
    session.socket.send('after')
    assert.equal(await readText(peer), '4after')
  })
})

describe('methods of closed objects', () => {
  /** Such a call may do nothing or throw an Error, but no more. */
  function callAll(target, names, ...args) {
    for (const name of names) {
      try {
        const value = target[name](...args)
        value?.catch?.(() => {})
      } catch (error) {
        assert.ok(error instanceof Error, `${name} throws something that is not an Error`)
      }
    }
  }

  function methodsOf(target) {
    const names = new Set()
    for (let each = target; each !== Object.prototype; each = Object.getPrototypeOf(each)) {
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(each))) {
        // Methods with an underscore are internal and not for the app.
        if (typeof value === 'function' && name !== 'constructor' && !name.startsWith('_'))
          names.add(name)
      }
    }
    return names
  }

  for (const open of [openWebSocket, openPolling]) {
    wire(
      `a closed socket and its transport: no effect or an Error, ${open.name}`,
      {},
      async (world) => {
        const { session } = await open(world)
        const { socket } = session
        const { transport } = socket
        socket.close(true)
        await session.closed()
        const { peer } = await openWebSocket(world)
        for (const target of [socket, transport]) {
          callAll(
            target,
            methodsOf(target),
            'x',
            () => {},
            () => {},
          )
          callAll(target, methodsOf(target))
        }
        assert.equal(socket.readyState, 'closed')
        assert.equal(socket.transport.writable, false)
        assert.equal(socket.writeBuffer.length, 0)
        assert.equal(session.closes.length, 1)
        // A new session in the same slot must receive nothing of all this.
        peer.write(text('4good?'))
        assert.equal(await readText(peer), '4good!')
      },
    )
  }

  wire('a close in the middle of a batch: nothing more is delivered or sent', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    session.socket.on('data', (data) => {
      if (data !== '1') return
      session.socket.close()
      session.socket.send('too late')
    })
    peer.write(...Array.from({ length: 10 }, (_, index) => text(`4${index}`)))
    assert.equal(await readClose(peer), undefined)
    assert.equal((await session.closed()).reason, 'forced close')
    assert.deepEqual(session.messages, ['0', '1'])
  })

  for (const discard of [false, true]) {
    wire(
      `close(${discard}) in a connection listener: HTTP, then frames, nothing else`,
      {},
      async (world) => {
        world.engine.once('connection', (socket) => socket.close(discard))
        const peer = await world.peer(upgrade())
        if (await peer.some()) {
          await accepted(peer)
          let got = await readFrame(peer)
          if (got.opcode === OP.TEXT) {
            assert.equal(got.text[0], '0')
            got = await readFrame(peer)
          }
          assert.deepEqual([got.opcode, got.payload.length], [OP.CLOSE, 0])
        }
        assert.equal((await (await world.session()).closed()).reason, 'forced close')
      },
    )
  }

  wire(
    'engine.close() in a connection listener: HTTP, then frames, nothing else',
    {},
    async (world) => {
      world.engine.once('connection', () => world.engine.close())
      const peer = await world.peer(upgrade())
      if (await peer.some()) {
        await accepted(peer)
        let got = await readFrame(peer)
        if (got.opcode === OP.TEXT) got = await readFrame(peer)
        assert.equal(got.opcode, OP.CLOSE)
        assert.equal(got.payload.readUInt16BE(), 1001)
      }
      assert.equal((await (await world.session()).closed()).reason, 'forced close')
      world.proveGood = async () => {}
    },
  )

  wire('a closed engine: methods have no effect or throw an Error', {}, async (world) => {
    const { engine } = world
    const { session } = await openWebSocket(world)
    engine.close()
    await session.closed()
    engine.close()
    callAll(
      engine,
      ['use', 'generateId', 'on'],
      () => {},
      () => {},
    )
    session.socket.send('x')
    assert.equal(engine.clientsCount, 0)
    world.proveGood = async () => {}
  })
})
