// Every end of a session reports what happened: the reason, the code, and whatever else is known
// (docs/protocol.md#how-a-sessions-end-is-reported). The tests of limits and of bad frames check
// the ends that those cause.

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { OP, frame, text } from '../support/frames.mjs'
import { post, request } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const lost = 'ERR_UPWIRE_CONNECTION_LOST'

/** Headers of a POST whose body comes in pieces. */
const chunked = { Host: '127.0.0.1', 'Transfer-Encoding': 'chunked' }

/** What a WebSocket client does, and how the app learns of the end. */
const webSockets = {
  'a close frame with code and reason': [
    ({ peer }) => peer.write(frame(OP.CLOSE, Buffer.from([0x0f, 0xa0, 0x62, 0x79, 0x65]))),
    { reason: 'transport close', code: 'ERR_UPWIRE_PEER_CLOSED', wsCode: 4000, wsReason: 'bye' },
  ],
  'a close frame without code or reason': [
    ({ peer }) => peer.write(frame(OP.CLOSE)),
    { reason: 'transport close', code: 'ERR_UPWIRE_PEER_CLOSED', wsReason: '' },
  ],
  'a close packet': [
    ({ peer }) => peer.write(text('1')),
    { reason: 'transport close', code: 'ERR_UPWIRE_PEER_CLOSED' },
  ],
  FIN: [
    ({ peer }) => peer.finish(),
    { reason: 'transport close', code: 'ERR_UPWIRE_CONNECTION_ENDED' },
  ],
  RST: [({ peer }) => peer.reset(), { reason: 'transport close', code: lost, errno: 104 }],
  'a packet of an unknown type': [
    ({ peer }) => peer.write(text('x')),
    { reason: 'parse error', code: 'ERR_UPWIRE_INVALID_PACKET' },
  ],
  'a ping packet': [
    ({ peer }) => peer.write(text('2')),
    { reason: 'transport error', code: 'ERR_UPWIRE_HEARTBEAT_DIRECTION' },
  ],
  'close() of the app': [({ session }) => session.socket.close(), { reason: 'forced close' }],
  'close(true) of the app': [
    ({ session }) => session.socket.close(true),
    { reason: 'forced close' },
  ],
}

const pollings = {
  'a close packet': [
    (client) => client.send('1'),
    { reason: 'transport close', code: 'ERR_UPWIRE_PEER_CLOSED' },
  ],
  'a dropped GET': [
    async (client) => (await client.park()).reset(),
    { reason: 'transport error', code: lost },
  ],
  'a dropped POST': [
    async (client) => {
      const peer = await client.world.peer(
        request(`POST ${client.target}`, chunked, '5\r\n4hell\r\n'),
      )
      await peer.flushed()
      peer.reset()
    },
    { reason: 'transport error', code: lost },
  ],
  'two GETs': [
    async (client) => {
      await client.park()
      await client.get()
    },
    { reason: 'transport error', code: 'ERR_UPWIRE_OVERLAP' },
  ],
  'two POSTs': [
    async (client) => {
      for (let count = 0; count < 2; count++) {
        await client.world.peer(request(`POST ${client.target}`, chunked, '5\r\n4hell\r\n'))
      }
    },
    { reason: 'transport error', code: 'ERR_UPWIRE_OVERLAP' },
  ],
  'a binary body': [
    (client) =>
      client.world.peer(post(client.target, '4x', { 'Content-Type': 'application/octet-stream' })),
    { reason: 'transport error', code: 'ERR_UPWIRE_INVALID_CONTENT' },
  ],
  'a compressed body': [
    (client) => client.world.peer(post(client.target, '4x', { 'Content-Encoding': 'gzip' })),
    { reason: 'transport error', code: 'ERR_UPWIRE_INVALID_CONTENT' },
  ],
  'a body larger than the limit': [
    (client) => client.world.peer(post(client.target, 'x'.repeat(1_000_001))),
    {
      reason: 'transport error',
      code: 'ERR_UPWIRE_PAYLOAD_TOO_LARGE',
      limit: 'maxHttpBufferSize',
      value: 1_000_000,
    },
  ],
  'a packet of an unknown type': [
    (client) => client.send('x'),
    { reason: 'parse error', code: 'ERR_UPWIRE_INVALID_PACKET' },
  ],
  'close() of the app': [({ session }) => session.socket.close(true), { reason: 'forced close' }],
}

const NAMES = ['code', 'wsCode', 'wsReason', 'errno', 'limit', 'value']

/** Checks that the end of a session has these details and no others. */
async function assertEnd(session, { reason, ...expected }) {
  const { reason: given, description } = await session.closed()
  assert.equal(given, reason)
  if (expected.code === undefined) return assert.equal(description, undefined)
  assert.ok(description instanceof Error)
  const details = NAMES.filter((name) => description[name] !== undefined)
  assert.deepEqual(Object.fromEntries(details.map((name) => [name, description[name]])), expected)
  assert.ok(description.message.length > 5)
  const type = reason === 'transport error' ? 'TransportError' : undefined
  assert.deepEqual(
    [description.type, description.description?.message],
    [type, type && description.message],
  )
}

describe('the details of a WebSocket session’s end', () => {
  for (const [name, [act, expected]] of Object.entries(webSockets)) {
    wire(name, {}, async (world) => {
      const client = await openWebSocket(world)
      await act(client)
      await assertEnd(client.session, expected)
    })
  }
})

describe('the details of a polling session’s end', () => {
  for (const [name, [act, expected]] of Object.entries(pollings)) {
    wire(name, {}, async (world) => {
      const client = await openPolling(world)
      await act(client)
      await assertEnd(client.session, expected)
    })
  }
})

describe('the details on both transports', () => {
  const both = async (world) => [
    (await openWebSocket(world)).session,
    (await openPolling(world)).session,
  ]

  wire('a missing pong', { pingInterval: 50, pingTimeout: 50 }, async (world) => {
    const expected = { reason: 'ping timeout', code: 'ERR_UPWIRE_PING_TIMEOUT' }
    for (const session of await both(world)) await assertEnd(session, expected)
  })

  for (const [name, end] of [
    ['engine.close()', (engine) => engine.close()],
    ['engine.drain()', (engine) => engine.drain({ deadline: 100 })],
  ]) {
    wire(name, {}, async (world) => {
      const [webSocket, polling] = await both(world)
      const reason = 'forced close'
      const code = 'ERR_UPWIRE_SHUTDOWN'
      await end(world.engine)
      await assertEnd(webSocket, { reason, code, wsCode: 1001 })
      await assertEnd(polling, { reason, code })
      world.engine.attach(world.server)
    })
  }
})
