// Engine.IO packets, as a WebSocket message and as one packet of a payload
// (docs/protocol.md#packets).

import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { describe } from 'node:test'
import { attach } from 'upwire'
import { openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { until } from '../support/events.mjs'
import {
  OP,
  close,
  frame,
  readClose,
  readEnd,
  readFrame,
  readText,
  text,
} from '../support/frames.mjs'
import { WEBSOCKET, response, upgrade } from '../support/requests.mjs'
import { opened } from '../support/engine-clients.mjs'
import { wire } from '../support/world.mjs'

/** Checks a close without status; answers it, then expects the end. */
async function assertClosed(peer) {
  assert.equal(await readClose(peer), undefined)
  peer.write(close())
  await readEnd(peer)
}

wire('with b64, binary messages come as text on a WebSocket too', {}, async (world) => {
  const { peer, session } = await openWebSocket(world, '&b64=1')
  session.socket.send(Buffer.from([1, 2, 3]))
  session.socket.send('text')
  assert.deepEqual([await readText(peer), await readText(peer)], ['bAQID', '4text'])
  const client = await openPolling(world)
  const upgraded = await world.peer(upgrade(`${WEBSOCKET}&sid=${client.sid}&b64=1`))
  await response(upgraded)
  upgraded.write(text('5'))
  client.session.socket.send(Buffer.from([4]))
  assert.equal(await readText(upgraded), 'bBA==')
})

describe('invalid packets: parse error, close without status', () => {
  const inputs = {
    'empty text': '',
    'unknown type 7': '7',
    'unknown type 9': '9hello',
    'a letter': 'x',
    'a space': ' 4hello',
    'b with invalid base64': 'b!!!!',
    'b with base64 of impossible length': 'bA',
    'a multi-byte character': '\u20ac',
    NUL: '\0',
  }
  for (const [name, packet] of Object.entries(inputs)) {
    wire(`close the session on WebSocket: ${name}`, {}, async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(text('4before'), text(packet), text('4after'))
      const { reason, description } = await session.closed()
      assert.equal(reason, 'parse error')
      assert.equal(description.code, 'ERR_UPWIRE_INVALID_PACKET')
      assert.deepEqual(session.messages, ['before'])
      await assertClosed(peer)
    })

    wire(`close the session on polling: ${name}`, {}, async (world) => {
      const client = await openPolling(world)
      const answer = await response(await client.post(`4before\x1e${packet}\x1e4after`))
      assert.deepEqual([answer.status, answer.text], [200, 'ok'])
      const { reason, description } = await client.session.closed()
      assert.equal(reason, 'parse error')
      assert.equal(description.code, 'ERR_UPWIRE_INVALID_PACKET')
      assert.deepEqual(client.session.messages, ['before'])
    })
  }
})

describe('2 from an EIO 4 client: transport error, invalid heartbeat direction', () => {
  for (const packet of ['2', '2probe']) {
    wire(`${packet} on WebSocket`, {}, async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(text(packet), text('4after'))
      const { reason, description } = await session.closed()
      assert.equal(reason, 'transport error')
      assert.equal(description.type, 'TransportError')
      assert.match(description.message, /invalid heartbeat direction/)
      assert.deepEqual(session.messages, [])
      await assertClosed(peer)
    })

    wire(`${packet} on polling`, {}, async (world) => {
      const client = await openPolling(world)
      const answer = await response(await client.post(`${packet}\x1e4after`))
      assert.deepEqual([answer.status, answer.text], [200, 'ok'])
      const { reason, description } = await client.session.closed()
      assert.equal(reason, 'transport error')
      assert.match(description.message, /invalid heartbeat direction/)
      assert.deepEqual(client.session.messages, [])
    })
  }
})

describe('1 closes the session at once with transport close', () => {
  wire('on WebSocket, with a close frame', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(text('4before'), text('1'), text('4after'))
    assert.equal((await session.closed()).reason, 'transport close')
    assert.deepEqual(session.messages, ['before'])
    await assertClosed(peer)
  })

  wire('on polling', {}, async (world) => {
    const client = await openPolling(world)
    await client.send('1')
    assert.equal((await client.session.closed()).reason, 'transport close')
  })
})

describe('0, 5, 6 and an unsolicited 3 are ignored', () => {
  for (const packet of ['0', '0{"sid":"evil"}', '3', '3probe', '5', '6', '6noop']) {
    wire(`${packet} on WebSocket`, {}, async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(text(packet), text('4after'))
      assert.deepEqual(await session.received(1), ['after'])
      session.socket.send('here')
      assert.equal(await readText(peer), '4here')
      assert.equal(session.socket.transport.name, 'websocket')
    })

    wire(`${packet} on polling`, {}, async (world) => {
      const client = await openPolling(world)
      await client.send(`${packet}\x1e4after`)
      assert.deepEqual(await client.session.received(1), ['after'])
      await client.prove()
    })
  }

  /** Counts how much JavaScript runs while `work` does. */
  async function resourcesOf(work) {
    let count = 0
    const hook = createHook({ init: () => count++ }).enable()
    try {
      await work()
    } finally {
      hook.disable()
    }
    return count
  }

  for (const packet of ['0', '3', '5', '6']) {
    wire(`100,000 × ${packet} on WebSocket run no JavaScript`, {}, async (world) => {
      const { peer, session } = await openWebSocket(world)
      let emitted = 0
      const { emit } = session.socket
      session.socket.emit = function count(...args) {
        emitted++
        return Reflect.apply(emit, this, args)
      }
      const one = text(packet)
      const flood = Buffer.alloc(one.length * 100_000, one)
      const count = await resourcesOf(async () => {
        peer.write(flood, text('4end'))
        await session.received(1)
      })
      assert.ok(count < 10_000, `${count} asynchronous resources for 100,000 packets`)
      assert.ok(emitted < 10, `${emitted} events for 100,000 packets`)
      assert.deepEqual(session.messages, ['end'])
    })

    wire(`100,000 × ${packet} on polling run no JavaScript`, {}, async (world) => {
      const client = await openPolling(world)
      const flood = `${packet}\x1e`.repeat(100_000)
      const count = await resourcesOf(() => client.send(`${flood}4end`))
      assert.ok(count < 10_000, `${count} asynchronous resources for 100,000 packets`)
      assert.deepEqual(await client.session.received(1), ['end'])
    })
  }
})

describe('messages with unusual data', () => {
  wire('4 without data is data(undefined) on both transports', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(text('4'), text('4x'))
    assert.deepEqual(await session.received(2), [undefined, 'x'])
    const client = await openPolling(world)
    await client.send('4\x1e4x')
    assert.deepEqual(await client.session.received(2), [undefined, 'x'])
  })

  wire('b with base64 is binary on both transports, also when empty', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(text('bAQID'), text('b'), frame(OP.BINARY, ''), frame(OP.BINARY, '\x01'))
    const expected = [Buffer.from([1, 2, 3]), Buffer.alloc(0), Buffer.alloc(0), Buffer.from([1])]
    assert.deepEqual(await session.received(4), expected)
    const client = await openPolling(world)
    await client.send('bAQID\x1eb')
    assert.deepEqual(await client.session.received(2), expected.slice(0, 2))
  })

  wire('lone surrogates from the app are sent as U+FFFD', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const client = await openPolling(world)
    for (const lone of [
      'a\ud800b',
      '\udc00',
      '\ud83c',
      '\udf89\ud83c',
      `${'x'.repeat(5000)}\ud800`,
    ]) {
      session.socket.send(lone)
      assert.equal(await readText(peer), `4${Buffer.from(lone)}`)
      client.session.socket.send(lone)
      assert.equal(await client.poll(), `4${Buffer.from(lone)}`)
    }
  })
})

describe('packets that socket.io’s parser rejects close the session, with one disconnect', () => {
  /**
   * Connects to Socket.IO on the same server, and to the namespace `/` unless the test says
   * otherwise.
   */
  async function openSocketIO(world, { connects = true } = {}) {
    const io = attach(world.server)
    const app = { conns: [], disconnects: [], events: [] }
    io.engine.on('connection', (conn) => {
      conn.on('close', (reason) => app.conns.push(reason))
    })
    io.on('connection', (socket) => {
      socket.on('disconnect', (reason) => app.disconnects.push(reason))
      socket.onAny((...event) => app.events.push(event))
    })
    const peer = await world.peer(upgrade(WEBSOCKET.replace('engine.io', 'socket.io')))
    await opened(peer)
    if (connects) {
      peer.write(text('40'))
      assert.match(await readText(peer), /^40\{"sid":"[\w-]{20}"\}$/)
    }
    const { proveClean } = world
    world.proveClean = async () => {
      await until(() => io.engine.clientsCount === 0, 'the Socket.IO session to end')
      const closed = new Promise((resolve) => io.engine.once('shutdown', resolve))
      io.engine.close()
      await closed
      return proveClean.call(world)
    }
    return { peer, app }
  }

  const refused = {
    'an unknown type': ['49["a"]'],
    'no type': ['4x'],
    'an empty packet': ['4'],
    'an event that is not an array': ['42{"a":1}'],
    'an event without a name': ['42[]'],
    'an event with a reserved name': ['42["disconnect"]'],
    'an event that is not JSON': ['42["a"'],
    'a second CONNECT': ['40'],
    'an event to a namespace not connected': ['42/other,["a"]'],
    'an attachment count that is not a number': ['45x-["a",{"_placeholder":true,"num":0}]'],
    'an attachment count without its dash': ['451["a",{"_placeholder":true,"num":0}]'],
    'a text where an attachment is due': ['451-["a",{"_placeholder":true,"num":0}]', '42["b"]'],
    'an attachment that no event announced': [frame(OP.BINARY, 'abc')],
    'a placeholder beyond the attachments': [
      '451-["a",{"_placeholder":true,"num":5}]',
      frame(OP.BINARY, 'abc'),
    ],
    'a placeholder named like a method': [
      '451-["a",{"_placeholder":true,"num":"splice"}]',
      frame(OP.BINARY, 'abc'),
    ],
  }
  for (const [name, packets] of Object.entries(refused)) {
    wire(name, {}, async (world) => {
      const { peer, app } = await openSocketIO(world)
      peer.write(...packets.map((packet) => (typeof packet === 'string' ? text(packet) : packet)))
      assert.equal(await readClose(peer), undefined)
      peer.write(close())
      await readEnd(peer)
      await until(() => app.conns.length > 0, 'the close')
      assert.equal(app.disconnects.length, 1)
      assert.equal(app.conns.length, 1)
      assert.deepEqual(app.events, [])
    })
  }

  wire('an event before CONNECT', {}, async (world) => {
    const { peer, app } = await openSocketIO(world, { connects: false })
    peer.write(text('42["a"]'))
    assert.equal(await readClose(peer), undefined)
    peer.write(close())
    await readEnd(peer)
    await until(() => app.conns.length > 0, 'the close')
    assert.deepEqual([app.conns.length, app.disconnects.length, app.events.length], [1, 0, 0])
  })

  wire('packets that it accepts arrive, binary ones too', {}, async (world) => {
    const { peer, app } = await openSocketIO(world)
    peer.write(
      text('42["a",1]'),
      text('451-["b",{"_placeholder":true,"num":0}]'),
      frame(OP.BINARY, 'abc'),
    )
    await until(() => app.events.length === 2, 'the events')
    assert.deepEqual(app.events, [
      ['a', 1],
      ['b', Buffer.from('abc')],
    ])
    peer.write(text('421["ack",1]'), close(1000))
    assert.deepEqual((await readFrame(peer)).payload, Buffer.from([0x03, 0xe8]))
    await readEnd(peer)
    await until(() => app.disconnects.length === 1, 'the disconnect')
  })
})
