// Earlier versions of socket.io-client that speak protocol 4: both transports, the upgrade, binary data,
// acknowledgements and reconnection.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { TRANSPORTS, connected, settled } from '../support/clients.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'

const require = createRequire(import.meta.url)

/** A client of that version, which connects again when its connection is lost. */
function connect(t, { io: connectSocket }, url, opts) {
  const socket = connectSocket(url, { forceNew: true, reconnectionDelay: 20, ...opts })
  t.after(() => socket.close())
  return socket
}

for (const name of ['socket.io-client-3', 'socket.io-client-4.0']) {
  const library = require(name)
  const { version } = require(`${name}/package.json`)
  describe(`socket.io-client ${version}`, () => {
    for (const { transports, settles } of TRANSPORTS.slice(0, 3)) {
      test(`messages, bytes and acknowledgements over ${transports}`, async (t) => {
        const { io, url } = await serve(t, { pingInterval: 100 })
        const arrival = event(io, 'connection')
        const near = connect(t, library, url, { transports })
        const [far] = await arrival
        await connected(near)
        await settled(near, settles)
        const heartbeats = gather(far.conn, 'heartbeat')
        far.on('echo', (text, bytes, ack) => ack(text, bytes))
        const answer = new Promise((resolve) => {
          near.emit('echo', '€ and 🎉', Buffer.from([0, 255]), (...values) => resolve(values))
        })
        const [text, bytes] = await within(answer, 'the answer of the server')
        assert.equal(text, '€ and 🎉')
        assert.deepEqual([...bytes], [0, 255])
        near.on('question', (data, ack) => ack(Buffer.from(data).reverse()))
        const reply = new Promise((resolve) => far.emit('question', Buffer.from([7, 8]), resolve))
        assert.deepEqual([...(await within(reply, 'the answer of the client'))], [8, 7])
        await until(() => heartbeats.length > 0, 'a pong')
        const closed = event(far, 'disconnect')
        near.disconnect()
        assert.equal((await closed)[0], 'client namespace disconnect')
      })
    }

    test('connects again after its connection was cut', async (t) => {
      const { io, url } = await serve(t)
      const first = event(io, 'connection')
      const near = connect(t, library, url, { transports: ['websocket'] })
      const [far] = await first
      await connected(near)
      const second = event(io, 'connection')
      const lost = event(near, 'disconnect')
      far.conn.close(true)
      assert.equal((await lost)[0], 'transport close')
      const [again] = await second
      assert.notEqual(again.id, far.id)
      await connected(near)
    })

    test('connects to namespaces with auth, and shows the error of a refused one', async (t) => {
      const { io, url } = await serve(t)
      io.of('/admin').use(({ handshake }, next) => {
        next(handshake.auth.token === 'good' ? undefined : new Error('no entry'))
      })
      const good = connect(t, library, `${url}/admin`, { auth: { token: 'good' } })
      await connected(good)
      const bad = connect(t, library, `${url}/admin`, { auth: { token: 'bad' } })
      const [error] = await event(bad, 'connect_error')
      assert.equal(error.message, 'no entry')
    })
  })
}
