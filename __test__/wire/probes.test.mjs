// The upgrade probe (docs/protocol.md#the-upgrade-probe).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { accepted, openPolling } from '../support/engine-clients.mjs'
import { deferred, gather, until } from '../support/events.mjs'
import {
  OP,
  close,
  closeBody,
  frame,
  readClose,
  readEnd,
  readFrame,
  readText,
  text,
} from '../support/frames.mjs'
import { get, request, response } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

/** A probe that the server has answered. */
async function probed(client) {
  const peer = await client.probe()
  peer.write(text('2probe'))
  assert.equal(await readText(peer), '3probe')
  return peer
}

/** Checks that after a failed probe the session is on polling and a new upgrade succeeds. */
async function assertPollingGoesOn(client) {
  const { socket } = client.session
  await until(() => !socket.upgrading, 'the upgrade to end')
  assert.equal(socket.upgraded, false)
  assert.deepEqual(client.session.messages, [], 'nothing from the probe is delivered')
  await client.prove('still polling')
  const peer = await probed(client)
  peer.write(text('5'), text('4moved'))
  await client.session.received(2)
  assert.equal(client.session.messages[1], 'moved')
  assert.equal(socket.transport.name, 'websocket')
  socket.send('here')
  assert.equal(await readText(peer), '4here')
}

describe('a first frame that is neither 2probe nor 5 closes its WebSocket, and polling goes on', () => {
  const inputs = {
    'a message': text('4evil'),
    'a binary message': frame(OP.BINARY, 'evil'),
    'a close packet': text('1'),
    'a ping': text('2'),
    'a ping with other text': text('2probed'),
    'a pong': text('3probe'),
    'a noop': text('6'),
    'an upgrade with a body': text('5x'),
    'an open packet': text('0{}'),
    'empty text': text(''),
    garbage: text('\u20acgarbage'),
  }
  for (const [name, bytes] of Object.entries(inputs)) {
    wire(`closes for ${name} before 2probe`, {}, async (world) => {
      const client = await openPolling(world)
      const peer = await client.probe()
      peer.write(bytes, text('4evil'), text('5'))
      assert.equal(await readClose(peer), undefined)
      peer.write(close())
      await readEnd(peer)
      await assertPollingGoesOn(client)
    })

    wire(`closes for ${name} behind 2probe`, {}, async (world) => {
      const client = await openPolling(world)
      const peer = await probed(client)
      peer.write(bytes, text('4evil'), text('5'))
      assert.equal(await readClose(peer), undefined)
      peer.write(close())
      await readEnd(peer)
      await assertPollingGoesOn(client)
    })
  }

  wire('answers a close frame', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await client.probe()
    peer.write(close(4000, 'no'))
    assert.equal(await readClose(peer), 4000)
    await readEnd(peer)
    await assertPollingGoesOn(client)
  })

  wire('answers a WebSocket ping, which changes nothing', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await client.probe()
    peer.write(frame(OP.PING, 'p'), frame(OP.PONG), text('2probe'))
    assert.equal((await readFrame(peer)).text, 'p')
    assert.equal(await readText(peer), '3probe')
    peer.write(text('5'), text('4moved'))
    assert.deepEqual(await client.session.received(1), ['moved'])
  })

  wire('takes 5 without a probe as an upgrade', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await client.probe()
    peer.write(text('5'), text('4moved'))
    assert.deepEqual(await client.session.received(1), ['moved'])
    assert.equal(client.session.socket.transport.name, 'websocket')
  })
})

describe('an invalid frame on the probe closes the probe alone, with its close code', () => {
  const limited = { maxHttpBufferSize: 1000, maxFragments: 4 }
  const inputs = {
    'a frame without a mask': [1002, text('2probe', { mask: null })],
    'a reserved opcode': [1002, frame(3, '2probe')],
    RSV1: [1002, text('2probe', { bits: 0x40 })],
    'a close frame of one byte': [1002, frame(OP.CLOSE, '\x03')],
    'text that is not UTF-8': [1007, text(Buffer.from([0x32, 0xff]))],
    'a message that is too long': [1009, text('', { length: 1001 })],
    'too many fragments': [
      1008,
      Buffer.concat([
        text('2', { fin: false }),
        ...Array(4).fill(frame(OP.CONTINUATION, '', { fin: false })),
      ]),
    ],
  }
  for (const [name, [code, bytes]] of Object.entries(inputs)) {
    for (const step of ['before', 'behind']) {
      wire(`${name}, ${step} 2probe: ${code}`, limited, async (world) => {
        const client = await openPolling(world)
        const peer = step === 'before' ? await client.probe() : await probed(client)
        peer.write(bytes, text('5'))
        assert.equal(await readClose(peer), code)
        await readEnd(peer)
        await assertPollingGoesOn(client)
      })
    }
  }
})

describe('a silent probe is closed at upgradeTimeout, and polling goes on', () => {
  const impatient = { upgradeTimeout: 100 }
  for (const [step, begin] of [
    ['before the probe', (client) => client.probe()],
    ['behind the probe', probed],
  ]) {
    wire(step, impatient, async (world) => {
      const client = await openPolling(world)
      const peer = await begin(client)
      assert.equal(await readClose(peer), undefined)
      peer.write(close())
      await readEnd(peer)
      // The good upgrade that follows must also finish within the timeout.
      await assertPollingGoesOn(client)
    })
  }

  wire('although it sends WebSocket pings', impatient, async (world) => {
    const client = await openPolling(world)
    const peer = await client.probe()
    const pings = setInterval(() => peer.ended ?? peer.write(frame(OP.PING, '')), 10)
    let got
    do got = await readFrame(peer)
    while (got.opcode === OP.PONG)
    clearInterval(pings)
    assert.equal(got.opcode, OP.CLOSE)
    await assertPollingGoesOn(client)
  })
})

describe('polling goes on when a probe is lost', () => {
  for (const leave of ['finish', 'reset']) {
    for (const [step, begin] of [
      ['before the probe', (client) => client.probe()],
      ['behind the probe', probed],
      [
        'in the middle of 5',
        async (client) => (await probed(client)).write(text('5').subarray(0, 4)),
      ],
    ]) {
      wire(`by ${leave} ${step}`, {}, async (world) => {
        const client = await openPolling(world)
        const peer = await begin(client)
        peer[leave]()
        await assertPollingGoesOn(client)
      })
    }
  }

  wire('before its 101 is read, 20 times', {}, async (world) => {
    const client = await openPolling(world)
    for (let round = 0; round < 20; round++) {
      const peer = await world.peer(client.upgradeRequest())
      await peer.flushed()
      peer.reset()
      await until(() => !client.session.socket.upgrading, 'the upgrade to end')
    }
    await assertPollingGoesOn(client)
  })
})

describe('several WebSockets for one sid at once', () => {
  wire('the first to be checked wins, and the others get 400', {}, async (world) => {
    const client = await openPolling(world)
    const peers = await Promise.all(
      Array.from({ length: 6 }, () => world.peer(client.upgradeRequest())),
    )
    const answers = await Promise.all(peers.map((peer) => response(peer)))
    const won = answers.findIndex(({ status }) => status === 101)
    assert.ok(won >= 0, 'one is accepted')
    for (const [index, answer] of answers.entries()) {
      if (index === won) continue
      assert.deepEqual([answer.status, answer.text], [400, 'Bad request'])
      assert.equal((await world.refusal()).context.name, 'TRANSPORT_MISMATCH')
    }
    peers[won].write(text('2probe'))
    assert.equal(await readText(peers[won]), '3probe')
    peers[won].write(text('5'), text('4moved'))
    assert.deepEqual(await client.session.received(1), ['moved'])
  })
})

describe('a session that closes while its 101 is on the way closes the WebSocket at once', () => {
  wire('with close(true) in a headers listener', {}, async (world) => {
    const client = await openPolling(world)
    world.engine.once('headers', () => client.session.socket.close(true))
    const peer = await world.peer(client.upgradeRequest())
    const bytes = await endOrClose(peer)
    assert.ok(bytes.length === 0 || bytes.startsWith('HTTP/1.1 '), 'only HTTP comes before the 101')
    assert.equal((await client.session.closed()).reason, 'forced close')
  })

  wire(
    'with close() in a headers listener, after a GET or the upgrade: forced close',
    {},
    async (world) => {
      const client = await openPolling(world)
      world.engine.once('headers', () => client.session.socket.close())
      const peer = await probed(client)
      peer.write(text('5'), text('4too late'))
      assert.equal(await readClose(peer), undefined)
      peer.write(close())
      await readEnd(peer)
      assert.equal((await client.session.closed()).reason, 'forced close')
      assert.deepEqual(client.session.messages, [])
    },
  )

  wire('with close(true) right after the handshake of the probe', {}, async (world) => {
    const client = await openPolling(world)
    const { socket } = client.session
    world.engine.once('headers', () => process.nextTick(() => socket.close(true)))
    const peer = await world.peer(client.upgradeRequest())
    const bytes = await endOrClose(peer)
    assert.ok(bytes.length === 0 || bytes.startsWith('HTTP/1.1 101 '), bytes)
    assert.equal((await client.session.closed()).reason, 'forced close')
  })

  wire('in a middleware of the upgrade: 400, the sid is unknown', {}, async (world) => {
    const client = await openPolling(world)
    const entered = deferred()
    const gate = deferred()
    world.engine.use((req, _res, next) => {
      if (req._query.sid !== client.sid) return next()
      entered.resolve()
      gate.promise.then(() => next())
    })
    const peer = await world.peer(client.upgradeRequest())
    await entered.promise
    client.session.socket.close(true)
    await client.session.closed()
    gate.resolve()
    const answer = await response(peer)
    assert.deepEqual([answer.status, answer.text], [400, 'Session ID unknown'])
    assert.equal((await peer.rest()).length, 0)
  })

  /** Reads everything until the end, and answers a close frame. */
  async function endOrClose(peer) {
    let all = ''
    while (await peer.some()) {
      all += (await peer.read(peer.buffered)).toString('latin1')
      if (all.endsWith('\x88\x00')) peer.write(close())
    }
    return all
  }
})

describe('5 while requests are under way', () => {
  wire('a parked GET gets 6, from the probe or from 5', {}, async (world) => {
    const client = await openPolling(world)
    const first = await client.park()
    const peer = await probed(client)
    assert.equal((await response(first)).text, '6')
    const second = await client.get()
    assert.equal((await response(second)).text, '6', 'a GET parked while the probe is live')
    peer.write(text('5'), text('4moved'))
    await client.session.received(1)
  })

  wire('a GET that is parked at a 5 without a probe gets 6', {}, async (world) => {
    const client = await openPolling(world)
    const parked = await client.park()
    const peer = await client.probe()
    peer.write(text('5'))
    assert.equal((await response(parked)).text, '6')
    await until(() => client.session.socket.upgraded, 'the upgrade')
  })

  wire(
    'a POST under way is answered, and its packets come before those on the WebSocket',
    {},
    async (world) => {
      const client = await openPolling(world)
      const body = '4one\x1e4two'
      const headers = { Host: '127.0.0.1', 'Content-Length': body.length }
      const poster = await world.peer(request(`POST ${client.target}`, headers), body.slice(0, 3))
      await response(await world.peer(get('/')))
      const peer = await probed(client)
      peer.write(text('5'), text('4three'), frame(OP.BINARY, 'four'), text('4five'))
      const { socket } = client.session
      await until(() => socket.upgraded, 'the upgrade')
      assert.deepEqual(client.session.messages, [])
      poster.write(body.slice(3))
      const answer = await response(poster)
      assert.deepEqual([answer.status, answer.text], [200, 'ok'])
      assert.deepEqual(await client.session.received(5), [
        'one',
        'two',
        'three',
        Buffer.from('four'),
        'five',
      ])
      socket.send('back')
      assert.equal(await readText(peer), '4back')
    },
  )

  wire('bytes behind a POST that does not end are read only up to a bound', {}, async (world) => {
    const client = await openPolling(world)
    const headers = { Host: '127.0.0.1', 'Content-Length': 4 }
    const poster = await world.peer(request(`POST ${client.target}`, headers), '4on')
    const pages = await world.peer(get('/'))
    await response(pages)
    const peer = await probed(client)
    const [count, message] = [3000, text(`4${'x'.repeat(10_000)}`)]
    peer.write(text('5'), ...Array(count).fill(message))
    let unsent
    do {
      unsent = peer.unsent
      for (let round = 0; round < 20; round++) {
        pages.write(get('/'))
        await response(pages)
      }
    } while (peer.unsent !== unsent)
    assert.ok(unsent > 0, 'the server has stopped reading')
    poster.write('e')
    const messages = await client.session.received(count + 1)
    assert.equal(messages[0], 'one')
    assert.equal(messages.length, count + 1)
  })

  wire(
    'messages queued before, during and after the upgrade arrive once and in order',
    {},
    async (world) => {
      const client = await openPolling(world)
      const { socket } = client.session
      let sent = 0
      const send = (count) => {
        for (let index = 0; index < count; index++) socket.send(String(sent++))
      }
      const got = []
      const take = (payload) => {
        for (const packet of payload.split('\x1e')) if (packet[0] === '4') got.push(packet.slice(1))
      }
      send(5)
      take(await client.poll())
      send(5)
      const peer = await probed(client)
      send(5)
      take(await client.poll())
      send(5)
      await client.send('4up 0')
      peer.write(text('5'), text('4up 1'))
      await client.session.received(2)
      send(5)
      while (got.length < sent) take(await readText(peer))
      assert.deepEqual(
        got,
        Array.from({ length: sent }, (_, index) => String(index)),
      )
      assert.deepEqual(client.session.messages, ['up 0', 'up 1'])
    },
  )

  wire(
    'a GET or POST after the upgrade gets 400 with code 3, and the WebSocket goes on',
    {},
    async (world) => {
      const client = await openPolling(world)
      const peer = await probed(client)
      peer.write(text('5'))
      await until(() => client.session.socket.upgraded, 'the upgrade')
      for (const late of [await client.get(), await client.post('4late')]) {
        const answer = await response(late)
        assert.deepEqual([answer.status, answer.json], [400, { code: 3, message: 'Bad request' }])
      }
      peer.write(text('4moved'))
      assert.deepEqual(await client.session.received(1), ['moved'])
    },
  )

  for (const leave of ['reset', 'finish']) {
    wire(
      `5 followed by ${leave}: one close, and never a session without a transport`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const upgrades = gather(client.session.socket, 'upgrade')
        const peer = await probed(client)
        peer.write(text('5'))
        await peer.flushed()
        peer[leave]()
        const { reason } = await client.session.closed()
        assert.match(reason, /^transport (close|error)$/)
        assert.equal(upgrades.length, 1)
      },
    )
  }

  wire('an invalid frame right behind 5 ends the session', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await probed(client)
    peer.write(text('5'), text('4last'), frame(3, 'x'))
    assert.equal(await readClose(peer), 1002)
    await readEnd(peer)
    assert.equal((await client.session.closed()).reason, 'transport error')
    assert.deepEqual(client.session.messages, ['last'])
  })

  wire('the whole upgrade may come in one segment with its request', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await world.peer(
      client.upgradeRequest(),
      text('2probe'),
      text('5'),
      text('4moved'),
      close(1000),
    )
    await accepted(peer)
    assert.equal(await readText(peer), '3probe')
    assert.deepEqual((await readFrame(peer)).payload, closeBody(1000))
    assert.equal((await client.session.closed()).reason, 'transport close')
    assert.deepEqual(client.session.messages, ['moved'])
  })
})

describe('a session whose GET is aborted between probe and 5', () => {
  wire('waits for 5', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await client.probe()
    const parked = await client.park()
    parked.reset()
    await until(
      () => !client.session.socket.transport.writable,
      'the server to notice the lost GET',
    )
    client.session.socket.send('meanwhile')
    peer.write(text('2probe'))
    assert.equal(await readText(peer), '3probe')
    assert.deepEqual(client.session.closes, [])
    peer.write(text('5'), text('4moved'))
    assert.deepEqual(await client.session.received(1), ['moved'])
    assert.equal(await readText(peer), '4meanwhile')
  })

  wire(
    'closes with transport error without 5 until upgradeTimeout',
    { upgradeTimeout: 100 },
    async (world) => {
      const client = await openPolling(world)
      const peer = await client.probe()
      const parked = await client.park()
      parked.reset()
      const { reason, description } = await client.session.closed()
      assert.equal(reason, 'transport error')
      assert.match(description.message, /^poll connection closed prematurely/)
      assert.equal(await readClose(peer), undefined)
    },
  )

  wire('closes with transport error when the probe is lost too', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await client.probe()
    const parked = await client.park()
    parked.reset()
    await until(
      () => !client.session.socket.transport.writable,
      'the server to notice the lost GET',
    )
    peer.reset()
    const { reason, description } = await client.session.closed()
    assert.equal(reason, 'transport error')
    assert.match(description.message, /^poll connection closed prematurely/)
  })
})

describe('probes that fail one after another', () => {
  wire('leave at most one listener on the session, and their responses end', {}, async (world) => {
    let closed = 0
    world.engine.use((_req, res, next) => {
      if (res.statusCode === 101) res.once('close', () => closed++)
      next()
    })
    const client = await openPolling(world)
    const { socket } = client.session
    const before = { closed, listeners: socket.listenerCount('close') }
    for (let count = 0; count < 20; count++) {
      const peer = await probed(client)
      peer.reset()
      await until(() => !socket.upgrading, 'the probe to fail')
    }
    assert.equal(socket.listenerCount('close') - before.listeners, 1)
    assert.equal(closed - before.closed, 19)
    socket.close(true)
    await until(() => closed - before.closed === 20, 'the last response to close')
  })
})
