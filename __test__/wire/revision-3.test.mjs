// Revision 3 of the protocol: handshakes, payloads, frames, heartbeat and upgrade
// (docs/protocol.md#revision-3).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { accepted, openPolling } from '../support/engine-clients.mjs'
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
import { get, post, response, upgrade } from '../support/requests.mjs'
import {
  EIO3,
  POLLING_3,
  WEBSOCKET_3,
  openPolling3,
  openWebSocket3,
} from '../support/revision-3.mjs'
import { wire } from '../support/world.mjs'

const BYTES = Buffer.from([0, 1, 2, 255])

describe('handshake', () => {
  for (const eio of ['EIO=3&', '', 'EIO=2&', 'EIO=5&', 'EIO=04&', 'EIO=&']) {
    wire(`${eio || 'no EIO'} opens a session of revision 3`, EIO3, async (world) => {
      const target = `/engine.io/?${eio}transport=polling`
      const client = await openPolling3(world, '', target)
      assert.deepEqual(client.open, {
        sid: client.sid,
        upgrades: ['websocket'],
        pingInterval: 25_000,
        pingTimeout: 20_000,
        maxPayload: 1_000_000,
      })
      assert.equal(client.session.socket.protocol, 3)
      assert.equal(client.session.socket.transport.protocol, 3)
      const peer = await world.peer(upgrade(`/engine.io/?${eio}transport=websocket`))
      await accepted(peer)
      assert.match(await readText(peer), /^0\{"sid":".{20}","upgrades":\[\],/)
      assert.equal((await world.session()).socket.protocol, 3)
    })
  }

  wire('EIO=4 still opens a session of revision 4', EIO3, async (world) => {
    const client = await openPolling(world)
    assert.equal(client.session.socket.protocol, 4)
    await client.prove()
  })

  wire('a request of another revision does not reach a session', EIO3, async (world) => {
    const [three, four] = [await openPolling3(world), await openPolling(world)]
    const cases = [
      [get(`/engine.io/?EIO=4&transport=polling&sid=${three.sid}`), 4],
      [post(`/engine.io/?EIO=4&transport=polling&sid=${three.sid}`, '4evil'), 4],
      [upgrade(`/engine.io/?EIO=4&transport=websocket&sid=${three.sid}`), 4],
      [get(`${POLLING_3}&sid=${four.sid}`), 3],
      [upgrade(`${WEBSOCKET_3}&sid=${four.sid}`), 3],
    ]
    for (const [bytes, protocol] of cases) {
      assert.equal((await response(await world.peer(bytes))).status, 400)
      const previousProtocol = protocol === 4 ? 3 : 4
      const context = { name: 'PROTOCOL_MISMATCH', protocol, previousProtocol }
      assert.deepEqual(await world.refusal(), { code: 3, message: 'Bad request', context })
    }
    await four.prove()
    await three.send('6:4alive')
    assert.deepEqual(await three.session.received(1), ['alive'])
  })

  wire('listeners for headers see the length of the open packet', EIO3, async (world) => {
    const lengths = []
    world.engine.on('headers', (headers) => lengths.push(headers['Content-Length']))
    const answer = await response(await world.peer(get(POLLING_3)))
    assert.deepEqual(lengths, [answer.body.length])
    await world.session()
  })
})

describe('polling', () => {
  wire('text has lengths in UTF-16 code units', EIO3, async (world) => {
    const client = await openPolling3(world)
    client.session.socket.send('h\u20ac\u{1f600}')
    client.session.socket.send('')
    const answer = await client.poll()
    assert.equal(answer.text, '5:4h\u20ac\u{1f600}1:4')
    assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8')
    assert.equal(answer.headers['cache-control'], 'no-store')
    await client.send('5:4h\u20ac\u{1f600}1:46:b4AQI=')
    assert.deepEqual(await client.session.received(3), [
      'h\u20ac\u{1f600}',
      undefined,
      Buffer.from([1, 2]),
    ])
  })

  wire('a payload with a binary message is bytes', EIO3, async (world) => {
    const client = await openPolling3(world)
    client.session.socket.send('\u20ac')
    client.session.socket.send(BYTES)
    const answer = await client.poll()
    const expected = Buffer.from('\0\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\0\x01\x02\xff', 'latin1')
    assert.deepEqual(answer.body, expected)
    assert.equal(answer.headers['content-type'], 'application/octet-stream')
    assert.equal(answer.headers['content-length'], String(expected.length))
    await client.sendBytes(expected)
    assert.deepEqual(await client.session.received(2), ['\u20ac', BYTES])
  })

  for (const size of [100, 9_000, 70_000]) {
    wire(`a payload of ${size} bytes arrives whole, in both directions`, EIO3, async (world) => {
      const client = await openPolling3(world)
      const bytes = Buffer.alloc(size, 7)
      client.session.socket.send(bytes)
      const { body } = await client.poll()
      const digits = Array.from(String(size + 1), Number)
      assert.deepEqual(body, Buffer.concat([Buffer.from([1, ...digits, 255, 4]), bytes]))
      await client.sendBytes(body)
      assert.deepEqual(await client.session.received(1), [bytes])
    })
  }

  wire('with b64, binary messages are base64', EIO3, async (world) => {
    const client = await openPolling3(world, '&b64=1')
    client.session.socket.send(BYTES)
    const answer = await client.poll()
    assert.equal(answer.text, '10:b4AAEC/w==')
    assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8')
  })

  wire('a body that comes in pieces stays whole', EIO3, async (world) => {
    const client = await openPolling3(world)
    const bytes = post(client.target, '4:4\u20ac\u{1f600}2:4b')
    const peer = await world.peer()
    for (const byte of bytes) peer.write(Buffer.from([byte]))
    assert.equal((await response(peer)).status, 200)
    assert.deepEqual(await client.session.received(2), ['\u20ac\u{1f600}', 'b'])
  })

  const invalid = {
    'an empty body': '',
    'no length': '4a',
    'an empty length': ':4a',
    'a length beyond the end': '3:4a',
    'a length within a surrogate pair': '2:4\u{1f600}',
    'a length in another notation': '0x2:4a',
    'a negative length': '-2:4a',
    'a huge length': `${'9'.repeat(400)}:4a`,
    'a partial packet at the end': '2:4a2',
    'an unknown type': '2:9a',
    'invalid base64': '4:b4!!',
  }
  for (const [name, body] of Object.entries(invalid)) {
    wire(`${name} ends the session after the packets before it`, EIO3, async (world) => {
      const client = await openPolling3(world)
      await client.send(name === 'an empty body' ? body : `7:4before${body}`)
      const { reason, description } = await client.session.closed()
      assert.equal(reason, 'parse error')
      assert.equal(description.code, 'ERR_UPWIRE_INVALID_PACKET')
      const delivered = client.session.messages
      assert.equal(delivered[0], name === 'an empty body' ? undefined : 'before')
      assert.ok(delivered.length <= (name === 'a partial packet at the end' ? 2 : 1))
    })
  }

  const invalidBytes = {
    'an empty body': [],
    'an unknown tag': [2, 1, 255, 4],
    'no digits': [0, 255, 52],
    'a digit above 9': [0, 10, 255, 52],
    'a length beyond the end': [1, 9, 255, 4],
    'a length without an end': [1, 1, 1, 1],
    'a huge length': [1, ...Array(400).fill(9), 255, 4],
    'text that is not UTF-8': [0, 2, 255, 52, 128],
    'an unknown type': [1, 1, 255, 9],
    'an empty packet': [1, 0, 255],
  }
  for (const [name, bytes] of Object.entries(invalidBytes)) {
    wire(`bytes with ${name} end the session`, EIO3, async (world) => {
      const client = await openPolling3(world)
      await client.sendBytes(Buffer.from(bytes))
      const { reason } = await client.session.closed()
      assert.equal(reason, 'parse error')
      assert.deepEqual(client.session.messages, [])
    })
  }

  wire('a body above the limit gets 413', { ...EIO3, maxHttpBufferSize: 10 }, async (world) => {
    world.goodQuery = undefined
    const client = await openPolling3(world)
    const headers = { 'Content-Type': 'application/octet-stream' }
    assert.equal((await client.post(Buffer.alloc(11), headers)).status, 413)
    const { description } = await client.session.closed()
    assert.equal(description.code, 'ERR_UPWIRE_PAYLOAD_TOO_LARGE')
  })

  wire('a close packet from the client releases the parked GET', EIO3, async (world) => {
    const client = await openPolling3(world)
    const parked = await client.park()
    await client.send('1:1')
    assert.equal((await response(parked)).text, '1:6')
    assert.equal((await client.session.closed()).reason, 'transport close')
  })

  wire('close() answers the parked GET with a close packet', EIO3, async (world) => {
    const client = await openPolling3(world)
    const parked = await client.park()
    await until(() => client.session.socket.transport.writable, 'the GET to be parked')
    client.session.socket.close()
    assert.equal((await response(parked)).text, '1:1')
    assert.equal((await client.session.closed()).reason, 'forced close')
  })

  wire('a second GET ends the session, and the first gets a close packet', EIO3, async (world) => {
    const client = await openPolling3(world)
    const first = await client.park()
    await until(() => client.session.socket.transport.writable, 'the GET to be parked')
    assert.equal((await client.poll()).status, 400)
    assert.equal((await response(first)).text, '1:1')
    assert.equal((await client.session.closed()).reason, 'transport error')
  })
})

describe('WebSocket', () => {
  wire('binary frames begin with the type, in both directions', EIO3, async (world) => {
    const { peer, session } = await openWebSocket3(world)
    session.socket.send(BYTES)
    session.socket.send('text')
    const { opcode, payload } = await readFrame(peer)
    assert.deepEqual([opcode, payload], [OP.BINARY, Buffer.from([4, ...BYTES])])
    assert.equal(await readText(peer), '4text')
    peer.write(frame(OP.BINARY, Buffer.from([4, ...BYTES])), frame(OP.BINARY, Buffer.from([4])))
    peer.write(text('b4AQI='), text('4text'), text('4'))
    assert.deepEqual(await session.received(5), [
      BYTES,
      Buffer.alloc(0),
      Buffer.from([1, 2]),
      'text',
      undefined,
    ])
  })

  wire('with b64, binary messages are base64', EIO3, async (world) => {
    const { peer, session } = await openWebSocket3(world, '&b64=1')
    session.socket.send(Buffer.from([1, 2, 3]))
    assert.equal(await readText(peer), 'b4AQID')
  })

  const inputs = {
    'empty text': text(''),
    'an unknown type': text('7'),
    'a letter': text('x'),
    'b without a type': text('b'),
    'b with invalid base64': text('b4!!'),
    'an empty binary frame': frame(OP.BINARY, ''),
    'a binary frame of an unknown type': frame(OP.BINARY, Buffer.from([7, 1])),
    'a binary frame with a digit for its type': frame(OP.BINARY, '4a'),
  }
  for (const [name, bytes] of Object.entries(inputs)) {
    wire(`${name} closes the session`, EIO3, async (world) => {
      const { peer, session } = await openWebSocket3(world)
      peer.write(text('4before'), bytes, text('4after'))
      assert.equal((await session.closed()).reason, 'parse error')
      assert.deepEqual(session.messages, ['before'])
      assert.equal(await readClose(peer), undefined)
      peer.write(close())
      await readEnd(peer)
    })
  }

  wire('a close packet closes the session', EIO3, async (world) => {
    const { peer, session } = await openWebSocket3(world)
    peer.write(text('1'))
    assert.equal((await session.closed()).reason, 'transport close')
  })
})

describe('heartbeat', () => {
  wire('a ping is answered on both transports, and is an event', EIO3, async (world) => {
    const client = await openPolling3(world)
    const { peer, session } = await openWebSocket3(world)
    const seen = []
    for (const { socket } of [client.session, session]) {
      socket.on('heartbeat', () => seen.push('heartbeat'))
      socket.on('packet', ({ type }) => seen.push(type))
      socket.on('packetCreate', ({ type }) => seen.push(`${type} created`))
    }
    const events = ['ping', 'pong created', 'heartbeat']
    await client.send('1:2')
    assert.equal((await client.poll()).text, '1:3')
    await until(() => seen.length === 3, 'the events of polling')
    assert.deepEqual(seen, events)
    peer.write(text('2'))
    assert.equal(await readText(peer), '3')
    await until(() => seen.length === 6, 'the events of the WebSocket')
    assert.deepEqual(seen, [...events, ...events])
  })

  wire('a pong from the client is an error', EIO3, async (world) => {
    const client = await openPolling3(world)
    const { peer, session } = await openWebSocket3(world)
    await client.send('1:3')
    peer.write(text('3'))
    for (const each of [client.session, session]) {
      const { reason, description } = await each.closed()
      assert.equal(reason, 'transport error')
      assert.equal(description.code, 'ERR_UPWIRE_HEARTBEAT_DIRECTION')
      assert.equal(description.message, 'invalid heartbeat direction')
    }
  })

  const fast = { ...EIO3, pingInterval: 150, pingTimeout: 100 }
  wire('without pings the session ends, and a parked GET gets 1', fast, async (world) => {
    const client = await openPolling3(world)
    const { peer, session } = await openWebSocket3(world)
    const began = performance.now()
    const parked = await client.park()
    assert.equal((await response(parked)).text, '1:1')
    for (const each of [client.session, session]) {
      assert.equal((await each.closed()).reason, 'ping timeout')
    }
    assert.ok(performance.now() - began > 150, 'pingInterval + pingTimeout')
    assert.equal(await readClose(peer), undefined, 'the server sends no ping')
  })

  wire('each ping keeps the session for the whole time', fast, async (world) => {
    const { peer, session } = await openWebSocket3(world)
    const end = performance.now() + 600
    while (performance.now() < end) {
      peer.write(text('2'))
      assert.equal(await readText(peer), '3')
      await new Promise((resolve) => setTimeout(resolve, 60))
    }
    assert.deepEqual(session.closes, [])
    assert.equal((await session.closed()).reason, 'ping timeout')
  })
})

describe('upgrade', () => {
  wire('moves the session, and the parked GET gets a noop', EIO3, async (world) => {
    const client = await openPolling3(world)
    const parked = await client.park()
    const peer = await world.peer(upgrade(`${WEBSOCKET_3}&sid=${client.sid}`))
    await accepted(peer)
    peer.write(text('2probe'))
    assert.equal(await readText(peer), '3probe')
    assert.equal((await response(parked)).text, '1:6')
    client.session.socket.send(BYTES)
    peer.write(text('5'))
    assert.deepEqual((await readFrame(peer)).payload, Buffer.from([4, ...BYTES]))
    peer.write(text('2'), frame(OP.BINARY, Buffer.from([4, 9])))
    assert.equal(await readText(peer), '3')
    assert.deepEqual(await client.session.received(1), [Buffer.from([9])])
    assert.equal(client.session.socket.transport.name, 'websocket')
  })

  const fast = { ...EIO3, pingInterval: 150, pingTimeout: 100 }
  wire('an upgraded session still needs pings', fast, async (world) => {
    const client = await openPolling3(world)
    const peer = await world.peer(upgrade(`${WEBSOCKET_3}&sid=${client.sid}`))
    await accepted(peer)
    peer.write(text('5'))
    assert.equal((await client.session.closed()).reason, 'ping timeout')
    assert.equal(client.session.socket.upgraded, true)
  })
})
