// How connections end, and how clients come back.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { attach } from 'upwire'
import {
  TRANSPORTS,
  client,
  connect,
  connected,
  enginePair,
  pair,
  settled,
} from '../support/clients.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { listen, pages, serve, serveEngine } from '../support/servers.mjs'

for (const { transports, settles } of TRANSPORTS) {
  describe(`disconnects over ${JSON.stringify(transports)}`, () => {
    async function ends(t, opts) {
      const served = await serve(t, opts)
      const both = await pair(t, served, { transports })
      await settled(both.near, settles)
      await until(() => both.far.conn.transport.name === settles, 'the server to be upgraded')
      return { ...served, ...both }
    }

    test('client.disconnect() is a client namespace disconnect', async (t) => {
      const { near, far, io } = await ends(t)
      const reasons = gather(far, 'disconnect')
      const nearReason = event(near, 'disconnect')
      near.disconnect()
      assert.equal((await nearReason)[0], 'io client disconnect')
      await until(() => io.engine.clientsCount === 0, 'no clients')
      assert.deepEqual(
        reasons.map(([reason]) => reason),
        ['client namespace disconnect'],
      )
      assert.equal(io.sockets.sockets.size, 0)
    })

    test('the end of the client’s engine is a transport close', async (t) => {
      const { near, far, io } = await ends(t)
      const reasons = gather(far, 'disconnect')
      near.io.engine.close()
      await until(() => io.engine.clientsCount === 0, 'no clients')
      await until(() => reasons.length > 0, 'the disconnect')
      assert.deepEqual(
        reasons.map(([reason]) => reason),
        ['transport close'],
      )
    })

    test('socket.disconnect() on the server keeps the connection, and disconnect(true) closes it', async (t) => {
      const { near, far, io } = await ends(t)
      const nearReason = event(near, 'disconnect')
      const farReason = event(far, 'disconnect')
      far.emit('last', 'words')
      const last = event(near, 'last')
      far.disconnect()
      assert.deepEqual(await last, ['words'])
      assert.equal((await nearReason)[0], 'io server disconnect')
      assert.equal((await farReason)[0], 'server namespace disconnect')

      const second = await pair(t, { io, url: near.io.uri }, { transports })
      const secondReason = event(second.far, 'disconnect')
      const secondNear = event(second.near, 'disconnect')
      const lastWords = event(second.near, 'last')
      second.far.emit('last', Buffer.from('words'))
      second.far.disconnect(true)
      assert.equal(String((await lastWords)[0]), 'words')
      assert.equal((await secondReason)[0], 'server namespace disconnect')
      assert.equal((await secondNear)[0], 'io server disconnect')
      await until(() => io.engine.clientsCount <= 1, 'the connection to be closed')
    })

    test('conn.close() is a forced close', async (t) => {
      const { near, far } = await ends(t)
      const reasons = gather(far, 'disconnect')
      const nearReason = event(near, 'disconnect')
      far.conn.close()
      assert.equal((await nearReason)[0], 'transport close')
      await until(() => reasons.length > 0, 'the disconnect')
      assert.deepEqual(
        reasons.map(([reason]) => reason),
        ['forced close'],
      )
    })

    test('disconnecting still shows the rooms, and disconnect comes once after it', async (t) => {
      const { near, far, io } = await ends(t)
      far.join('room')
      const order = []
      far.on('disconnecting', (reason) =>
        order.push(['disconnecting', reason, [...far.rooms].includes('room')]),
      )
      far.on('disconnect', (reason) => order.push(['disconnect', reason, far.rooms.size]))
      near.io.engine.close()
      await until(() => order.length === 2, 'both events')
      await until(() => io.engine.clientsCount === 0, 'no clients')
      assert.deepEqual(order, [
        ['disconnecting', 'transport close', true],
        ['disconnect', 'transport close', 0],
      ])
    })

    test('a message that is too large closes the session, and the next client works', async (t) => {
      const { near, far, io, url } = await ends(t, { maxHttpBufferSize: 2000 })
      const got = gather(far, 'data')
      const closes = gather(far.conn, 'close')
      near.emit('data', 'x'.repeat(1900))
      await until(() => got.length === 1, 'a message within the limit')
      const nearReason = event(near, 'disconnect')
      near.emit('data', Buffer.alloc(2001))
      await nearReason
      await until(() => closes.length > 0, 'the close')
      const [reason, description] = closes[0]
      assert.equal(reason, 'transport error')
      assert.equal(description.type, 'TransportError')
      assert.equal(description.code, 'ERR_UPWIRE_PAYLOAD_TOO_LARGE')
      assert.equal(got.length, 1)
      const second = await pair(t, { io, url }, { transports })
      const data = event(second.far, 'data')
      second.near.emit('data', 'fine')
      await data
    })

    test('maxHttpBufferSize is announced to the client', async (t) => {
      const served = await serveEngine(t, {
        maxHttpBufferSize: 4321,
        pingInterval: 1234,
        pingTimeout: 567,
      })
      const { near } = await enginePair(t, served, { transports })
      assert.equal(near._maxPayload, 4321)
      assert.equal(near._pingInterval, 1234)
      assert.equal(near._pingTimeout, 567)
    })

    test('a client that is there when the server closes comes back to the next server', async (t) => {
      const first = pages()
      const before = attach(first)
      const port = await listen(first)
      const near = client(t, `http://127.0.0.1:${port}`, {
        transports,
        reconnection: true,
        reconnectionDelay: 20,
        reconnectionDelayMax: 50,
      })
      await connected(near)
      await settled(near, settles)
      const id = near.id
      const [conn] = Object.values(before.engine.clients)
      await until(() => conn.transport.writable, 'a parked GET, or WebSocket')
      const gone = event(near, 'disconnect')
      await within(before.close(), 'the first server to close')
      assert.equal((await gone)[0], 'transport close')
      const second = pages()
      const after = attach(second)
      after.on('connection', (socket) => socket.on('echo', (value, ack) => ack(value)))
      t.after(() => {
        near.close()
        return after.close()
      })
      await listen(second, port)
      await connected(near)
      assert.notEqual(near.id, id)
      assert.equal(await near.timeout(5000).emitWithAck('echo', 'back'), 'back')
    })

    test('connection state recovery restores id, rooms, data and missed messages', async (t) => {
      const served = await serve(t, {
        connectionStateRecovery: { maxDisconnectionDuration: 10_000 },
      })
      const { io, url } = served
      const arrival = event(io, 'connection')
      const near = client(t, url, { transports, reconnection: true, reconnectionDelay: 20 })
      const [far] = await arrival
      await connected(near)
      await settled(near, settles)
      far.join('room')
      far.data.name = 'kept'
      const got = gather(near, 'say')
      far.emit('say', 1)
      await until(() => got.length === 1, 'the first message')
      const back = event(io, 'connection')
      const gone = event(far, 'disconnect')
      near.io.engine.close()
      await gone
      io.to('room').emit('say', 2)
      io.emit('say', 3, Buffer.from('bin'))
      io.to('other').emit('say', 'not for us')
      const [again] = await back
      assert.equal(again.recovered, true)
      assert.equal(again.id, far.id)
      assert.ok(again.rooms.has('room'))
      assert.equal(again.data.name, 'kept')
      await until(() => near.connected && got.length === 3, 'the missed messages')
      assert.equal(near.recovered, true)
      assert.deepEqual(
        got.map(([n]) => n),
        [1, 2, 3],
      )
      again.emit('say', 4)
      await until(() => got.length === 4, 'a new message')
    })
  })
}

describe('limits', () => {
  test('exactly maxHttpBufferSize is accepted on both transports', async (t) => {
    const served = await serveEngine(t, { maxHttpBufferSize: 5000 })
    for (const { transports, settles } of TRANSPORTS) {
      const { near, far } = await enginePair(t, served, { transports, settles })
      const got = event(far, 'data')
      near.send('x'.repeat(4999))
      assert.equal((await got)[0].length, 4999)
    }
  })

  test('a client that does not read is closed at maxSendBuffer, and others are not', async (t) => {
    const served = await serveEngine(t, { maxSendBuffer: 1_000_000 })
    const limits = gather(served.engine, 'limit')
    const slow = await enginePair(t, served, { transports: ['websocket'] })
    const good = await enginePair(t, served, { transports: ['websocket'] })
    slow.near.transport.ws._socket.pause()
    const closes = gather(slow.far, 'close')
    const got = gather(good.near, 'data')
    const chunk = 'x'.repeat(500_000)
    await until(() => {
      if (closes.length > 0) return true
      slow.far.send(chunk)
      return false
    }, 'the slow client to be closed')
    const [reason, description] = closes[0]
    assert.equal(reason, 'transport error')
    assert.equal(description.code, 'ERR_UPWIRE_SLOW_CONSUMER')
    assert.equal(limits[0][0].name, 'maxSendBuffer')
    assert.equal(limits[0][0].action, 'closed')
    assert.equal(limits[0][0].limit, 1_000_000)
    assert.equal(limits[0][0].sid, slow.far.id)
    good.far.send('fine')
    await until(() => got.length === 1, 'the other client')
    slow.near.transport.ws._socket.resume()
  })

  test('one message of any size passes maxSendBuffer', async (t) => {
    const served = await serveEngine(t, { maxSendBuffer: 10_000 })
    const { near, far } = await enginePair(t, served, { transports: ['websocket'] })
    const got = event(near, 'data')
    far.send('x'.repeat(3_000_000))
    assert.equal((await got)[0].length, 3_000_000)
    assert.equal(far.readyState, 'open')
  })

  test('with slowConsumer "drop" messages are dropped and the session stays', async (t) => {
    const served = await serveEngine(t, { maxSendBuffer: 1_000_000, slowConsumer: 'drop' })
    const limits = gather(served.engine, 'limit')
    const { near, far } = await enginePair(t, served, { transports: ['websocket'] })
    near.transport.ws._socket.pause()
    const got = gather(near, 'data')
    let n = 0
    await until(() => {
      if (limits.length > 0) return true
      far.send(`${n++} ${'x'.repeat(500_000)}`)
      return false
    }, 'the limit')
    assert.equal(limits[0][0].action, 'dropped')
    near.transport.ws._socket.resume()
    await until(() => far.writeBuffer.length === 0, 'the queue to empty')
    far.send('end')
    await until(() => got.at(-1)?.[0] === 'end', 'the end')
    const numbers = got.slice(0, -1).map(([data]) => Number.parseInt(data, 10))
    assert.deepEqual(
      numbers,
      numbers.map((_each, index) => index),
      'a prefix, in order',
    )
    assert.ok(numbers.length < n)
    assert.equal(far.readyState, 'open')
  })

  test('many clients come and go at once', async (t) => {
    const served = await serve(t)
    const reasons = []
    served.io.on('connection', (socket) => {
      socket.on('echo', (value, ack) => ack(value))
      socket.on('disconnect', (reason) => reasons.push(reason))
    })
    const clients = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        connect(t, served.url, { transports: TRANSPORTS[n % 4].transports }),
      ),
    )
    assert.equal(served.io.engine.clientsCount, 60)
    const answers = await Promise.all(
      clients.map((near, n) => near.timeout(5000).emitWithAck('echo', n)),
    )
    assert.deepEqual(
      answers,
      clients.map((_near, n) => n),
    )
    for (const near of clients) near.disconnect()
    await until(() => served.io.engine.clientsCount === 0, 'no clients')
    assert.equal(reasons.length, 60)
  })
})
