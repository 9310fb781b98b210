// Calls on closed sockets, transports and engines (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { accepted, openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { OP, readClose, readFrame, readText, text } from '../support/frames.mjs'
import { upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

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
