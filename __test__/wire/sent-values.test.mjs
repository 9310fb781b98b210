// Values that the app sends but that cannot be sent, or that change afterwards
// (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { App } from '../support/app.mjs'
import { openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { OP, readFrame, readText, text } from '../support/frames.mjs'
import { WEBSOCKET, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import { peerOf, appTest } from '../support/failing-app.mjs'

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
