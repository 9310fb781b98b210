// Namespaces, rooms and broadcasts of Socket.IO over the native engine.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TRANSPORTS, client, connect, pair, settled } from '../support/clients.mjs'
import { event, gather, until } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'

/** The first arguments of all events up to and including the message "end". */
async function heard(...sockets) {
  const logs = sockets.map((socket) => gather(socket, 'say'))
  await until(
    () => logs.every((log) => log.some(([word]) => word === 'end')),
    'the end, everywhere',
  )
  return logs.map((log) => log.map(([word]) => word).filter((word) => word !== 'end'))
}

for (const { transports, settles } of TRANSPORTS) {
  describe(`namespaces over ${JSON.stringify(transports)}`, () => {
    test('several namespaces share one connection and stay apart', async (t) => {
      const served = await serve(t)
      const { io, url } = served
      for (const name of ['/', '/a', '/b']) {
        io.of(name).on('connection', (socket) => {
          socket.on('where', (ack) => ack(name, socket.conn.id))
        })
      }
      const main = await connect(t, url, { transports })
      const others = ['/a', '/b'].map((name) => main.io.socket(name))
      await until(() => others.every((other) => other.connected), 'the namespaces')
      const ids = new Set()
      for (const [index, socket] of [main, ...others].entries()) {
        const [name, id] = await new Promise((resolve) => {
          socket.emit('where', (...answer) => resolve(answer))
        })
        assert.equal(name, ['/', '/a', '/b'][index])
        ids.add(id)
      }
      assert.equal(ids.size, 1)
      assert.equal(io.engine.clientsCount, 1)
    })

    test('leaving one namespace keeps the others', async (t) => {
      const { io, url } = await serve(t)
      io.of('/a').on('connection', (socket) => socket.on('echo', (value, ack) => ack(value)))
      const main = await connect(t, url, { transports })
      const other = main.io.socket('/a')
      await until(() => other.connected, 'the namespace')
      const gone = event(io.of('/').sockets.values().next().value, 'disconnect')
      main.disconnect()
      assert.deepEqual((await gone).slice(0, 1), ['client namespace disconnect'])
      assert.equal(await other.timeout(5000).emitWithAck('echo', 5), 5)
    })

    test('an unknown namespace is refused', async (t) => {
      const { url } = await serve(t)
      const near = client(t, `${url}/nowhere`, { transports })
      assert.equal((await event(near, 'connect_error'))[0].message, 'Invalid namespace')
    })

    test('a dynamic namespace is created when a client asks for it', async (t) => {
      const { io, url } = await serve(t, { cleanupEmptyChildNamespaces: true })
      const parent = io.of(/^\/room-\d+$/)
      parent.use((_socket, next) => next())
      parent.on('connection', (socket) => socket.emit('say', `hello from ${socket.nsp.name}`))
      const one = client(t, `${url}/room-1`, { transports })
      assert.deepEqual(await event(one, 'say'), ['hello from /room-1'])
      const two = client(t, `${url}/room-22`, { transports })
      assert.deepEqual(await event(two, 'say'), ['hello from /room-22'])
      const both = [one, two].map((socket) => event(socket, 'all'))
      parent.emit('all', 'of you')
      assert.deepEqual(await Promise.all(both), [['of you'], ['of you']])
      const bad = client(t, `${url}/room-x`, { transports })
      assert.equal((await event(bad, 'connect_error'))[0].message, 'Invalid namespace')
      one.disconnect()
      await until(() => !io._nsps.has('/room-1'), 'the empty namespace to be removed')
      assert.ok(io._nsps.has('/room-22'))
    })

    test('rooms, exceptions and broadcasts reach exactly their clients', async (t) => {
      const served = await serve(t)
      const { io } = served
      const a = await pair(t, served, { transports })
      const b = await pair(t, served, { transports })
      const c = await pair(t, served, { transports })
      for (const { near } of [a, b, c]) await settled(near, settles)
      a.far.join(['red', 'blue'])
      b.far.join('red')
      c.far.join('blue')
      const logs = heard(a.near, b.near, c.near)
      io.emit('say', 'all')
      io.to('red').emit('say', 'red')
      io.to('red').to('blue').emit('say', 'red or blue')
      io.except('red').emit('say', 'not red')
      io.to('blue').except('red').emit('say', 'blue, not red')
      io.in(a.far.id).emit('say', 'only a')
      a.far.broadcast.emit('say', 'all but a')
      a.far.to('red').emit('say', 'red but a')
      b.far.to('blue').except('red').emit('say', 'from b, blue, not red')
      io.local.emit('say', 'local')
      io.compress(false).emit('say', 'plain')
      a.far.leave('blue')
      io.to('blue').emit('say', 'blue without a')
      io.to('nobody').emit('say', 'unheard')
      io.emit('say', Buffer.from('binary'), 'with', 'text')
      io.emit('say', 'end')
      const [forA, forB, forC] = (await logs).map((log) => log.map(String))
      assert.deepEqual(forA, ['all', 'red', 'red or blue', 'only a', 'local', 'plain', 'binary'])
      assert.deepEqual(forB, [
        'all',
        'red',
        'red or blue',
        'all but a',
        'red but a',
        'local',
        'plain',
        'binary',
      ])
      assert.deepEqual(forC, [
        'all',
        'red or blue',
        'not red',
        'blue, not red',
        'all but a',
        'from b, blue, not red',
        'local',
        'plain',
        'blue without a',
        'binary',
      ])
    })

    test('a broadcast keeps its place between direct messages', async (t) => {
      const served = await serve(t)
      const { io } = served
      const ends = []
      for (let n = 0; n < 3; n++) ends.push(await pair(t, served, { transports }))
      for (const { near } of ends) await settled(near, settles)
      ends[1].far.join('some')
      const logs = heard(...ends.map(({ near }) => near))
      const expected = ends.map(() => [])
      for (let round = 0; round < 100; round++) {
        ends.forEach(({ far }, index) => {
          far.emit('say', `direct ${round}`)
          expected[index].push(`direct ${round}`)
        })
        const word = round % 3 === 0 ? Buffer.from(`all ${round}`) : `all ${round}`
        io.emit('say', word)
        for (const list of expected) list.push(`all ${round}`)
        io.to('some').emit('say', `some ${round}`)
        expected[1].push(`some ${round}`)
        ends[0].far.broadcast.emit('say', Buffer.from(`others ${round}`), Buffer.from('second'))
        expected[1].push(`others ${round}`)
        expected[2].push(`others ${round}`)
      }
      io.emit('say', 'end')
      const got = (await logs).map((log) => log.map(String))
      assert.deepEqual(got, expected)
    })

    test('all clients acknowledge a broadcast', async (t) => {
      const served = await serve(t)
      const ends = []
      for (let n = 0; n < 3; n++) ends.push(await pair(t, served, { transports }))
      ends.forEach(({ near }, n) => near.on('who', (ack) => ack(n)))
      const answers = await served.io.timeout(5000).emitWithAck('who')
      assert.deepEqual(answers.sort(), [0, 1, 2])
      ends[1].near.off('who')
      await assert.rejects(served.io.timeout(50).emitWithAck('who'), /timed out/)
    })

    test('fetchSockets, socketsJoin, socketsLeave and disconnectSockets work', async (t) => {
      const served = await serve(t)
      const { io } = served
      const a = await pair(t, served, { transports, auth: { name: 'a' } })
      const b = await pair(t, served, { transports, auth: { name: 'b' } })
      io.in(a.far.id).socketsJoin('one')
      const sockets = await io.in('one').fetchSockets()
      assert.deepEqual(
        sockets.map(({ id, handshake }) => [id, handshake.auth.name]),
        [[a.far.id, 'a']],
      )
      io.socketsLeave('one')
      assert.equal((await io.in('one').fetchSockets()).length, 0)
      const gone = event(b.near, 'disconnect')
      io.in(b.far.id).disconnectSockets(true)
      await gone
      assert.deepEqual(
        [...(await io.fetchSockets())].map(({ id }) => id),
        [a.far.id],
      )
    })
  })
}

describe('broadcasts', () => {
  test('reach polling and WebSocket clients, each in its own form', async (t) => {
    const served = await serve(t)
    const ends = []
    for (const { transports } of TRANSPORTS) ends.push(await pair(t, served, { transports }))
    const logs = heard(...ends.map(({ near }) => near))
    served.io.emit('say', 'ünïcode 🎉')
    served.io.emit('say', Buffer.from([0, 255, 1]))
    served.io.emit('say', 'end')
    for (const log of await logs) {
      assert.equal(log[0], 'ünïcode 🎉')
      assert.deepEqual(Buffer.from(log[1]), Buffer.from([0, 255, 1]))
      assert.equal(log.length, 2)
    }
  })

  test('emit packetCreate with compress and the pre-encoded frame', async (t) => {
    const served = await serve(t)
    const { near, far } = await pair(t, served, { transports: ['websocket'] })
    const made = gather(far.conn, 'packetCreate')
    const got = event(near, 'say')
    served.io.compress(false).emit('say', 'x')
    await got
    const packet = made.map(([each]) => each).find(({ type }) => type === 'message')
    assert.equal(packet.data, '2["say","x"]')
    assert.equal(packet.options.compress, false)
    assert.ok(Array.isArray(packet.options.wsPreEncodedFrame))
  })

  test('write a pre-encoded frame verbatim on WebSocket and ignore it on polling', async (t) => {
    const served = await serve(t)
    // A frame that differs from the data on purpose: text, 13 bytes.
    const payload = '42["say","f"]'
    const frame = [Buffer.from([0x81, payload.length]), Buffer.from(payload)]
    for (const [transports, expected] of [
      [['websocket'], 'f'],
      [['polling'], 'data'],
    ]) {
      const { near, far } = await pair(t, served, { transports })
      const got = event(near, 'say')
      far.conn.write('2["say","data"]', { preEncoded: true, wsPreEncodedFrame: frame })
      assert.deepEqual(await got, [expected])
    }
  })

  test('reach the remaining clients in order while others leave', async (t) => {
    const served = await serve(t)
    const ends = []
    for (let n = 0; n < 12; n++) {
      ends.push(await pair(t, served, { transports: n % 3 === 0 ? ['polling'] : ['websocket'] }))
    }
    const stay = ends.filter((_end, n) => n % 4 !== 1)
    const logs = heard(...stay.map(({ near }) => near))
    for (let n = 0; n < 60; n++) {
      served.io.emit('say', n)
      if (n === 20) ends[1].near.io.engine.close()
      if (n === 30) ends[5].far.conn.close(true)
      if (n === 40) ends[9].far.disconnect(true)
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    served.io.emit('say', 'end')
    for (const log of await logs)
      assert.deepEqual(
        log,
        Array.from({ length: 60 }, (_, n) => n),
      )
  })
})
