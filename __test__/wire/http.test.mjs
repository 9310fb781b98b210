// Malformed, oversized and incomplete HTTP (docs/protocol.md#handshake-and-http).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { openPolling, opened } from '../support/engine-clients.mjs'
import { text } from '../support/frames.mjs'
import { POLLING, UPGRADE, WEBSOCKET, request, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

/** Checks that Node refuses a request by itself, before anything reaches the engine. */
async function assertNodeRefuses(world, bytes, status = 400) {
  const peer = await world.peer(bytes)
  const answer = await response(peer)
  assert.equal(answer.status, status)
  assert.equal(answer.headers.connection, 'close')
  assert.equal((await peer.rest()).length, 0)
  world.assertUntouched()
}

const HOST = { Host: '127.0.0.1' }

describe('Node answers malformed HTTP, and none of it reaches the engine', () => {
  const line = `GET ${POLLING} HTTP/1.1\r\n`
  const wsLine = `GET ${WEBSOCKET} HTTP/1.1\r\n`
  const host = 'Host: 127.0.0.1\r\n'
  const postLine = `POST ${POLLING}&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n`
  const inputs = {
    'NUL in the target': `GET ${POLLING}\0 HTTP/1.1\r\n${host}\r\n`,
    'a control byte in the target': `GET ${POLLING}\x01 HTTP/1.1\r\n${host}\r\n`,
    'no target': 'GET  HTTP/1.1\r\n\r\n',
    'an unknown version': `GET ${POLLING} HTTP/3.7\r\n${host}\r\n`,
    'an unknown method': `GRAB ${POLLING} HTTP/1.1\r\n${host}\r\n`,
    'NUL in a header': `${line}${host}X-A: a\0b\r\n\r\n`,
    'a control byte in a header': `${line}${host}X-A: a\x01b\r\n\r\n`,
    'a control byte in Origin': `${line}${host}Origin: http://a\x01b\r\n\r\n`,
    'a space before the colon': `${line}${host}X-A : a\r\n\r\n`,
    'no colon': `${line}${host}X-A\r\n\r\n`,
    'a bare CR': `${line}${host}X-A: a\rX-B: b\r\n\r\n`,
    'a bare CR in an upgrade': `${wsLine}${host}Upgrade: websocket\rConnection: Upgrade\r\n\r\n`,
    'an obsolete line fold at the start': `${line} X-A: a\r\n${host}\r\n`,
    'Content-Length and Transfer-Encoding': `${postLine}${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'two different Content-Length': `${postLine}${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n4hello`,
    'a negative Content-Length': `${postLine}${host}Content-Length: -1\r\n\r\n`,
    'a Content-Length that is not a number': `${postLine}${host}Content-Length: 0x5\r\n\r\n4hell`,
    'a chunked coding that is not the last': `${postLine}${host}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
  }
  for (const [name, bytes] of Object.entries(inputs)) {
    wire(name, {}, (world) => assertNodeRefuses(world, bytes))
  }

  // Node emits a request whose body turns out to be bad; none of that body may reach the engine.
  const bodies = {
    'a bad chunk size': ['chunked', '3\r\n4ab\r\nzz\r\n4evil\r\n0\r\n\r\n'],
    'a chunk size that overflows': ['chunked', 'fffffffffffffffff\r\n4evil'],
    'a chunk longer than its size': ['chunked', '3\r\n4evil\r\n0\r\n\r\n'],
    'an unknown Transfer-Encoding': ['chunky', '5\r\n4evil\r\n0\r\n\r\n'],
  }
  for (const [name, [encoding, body]] of Object.entries(bodies)) {
    wire(
      `closes a session once, without a packet, for ${name} in a POST: 400`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const headers = { ...HOST, 'Transfer-Encoding': encoding }
        const peer = await world.peer(request(`POST ${client.target}`, headers), body)
        assert.equal((await response(peer)).status, 400)
        assert.equal((await peer.rest()).length, 0)
        const { reason, description } = await client.session.closed()
        assert.equal(reason, 'transport error')
        assert.match(description.message, /closed prematurely/)
        assert.deepEqual(client.session.messages, [])
      },
    )
  }
})

describe('requests that are too long, incomplete or not HTTP', () => {
  wire('answers headers of more than 16 KiB with 431', {}, async (world) => {
    await assertNodeRefuses(
      world,
      request(`GET ${POLLING}`, { ...HOST, 'X-A': 'a'.repeat(17_000) }),
      431,
    )
  })

  wire('answers upgrade headers of more than 16 KiB with 431', {}, async (world) => {
    await assertNodeRefuses(world, upgrade(WEBSOCKET, { 'X-A': 'a'.repeat(17_000) }), 431)
  })

  const impatient = { serverOptions: { headersTimeout: 150, connectionsCheckingInterval: 50 } }
  wire('answers half a request with 408 or a close', impatient, async (world) => {
    const peer = await world.peer(`GET ${WEBSOCKET} HTTP/1.1\r\nHost: 127.`)
    const answer = (await peer.rest()).toString()
    assert.match(answer, /^(HTTP\/1\.1 408 .*|)/)
    assert.equal(peer.ended, 'fin')
    world.assertUntouched()
  })

  wire('closes a connection without a request', impatient, async (world) => {
    const peer = await world.peer()
    await peer.rest()
    world.assertUntouched()
  })

  const hello = '16030100c8010000c40303'.padEnd(420, 'ab')
  for (const [name, bytes] of Object.entries({
    'a TLS hello': Buffer.from(hello, 'hex'),
    'the HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
    noise: Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 73 + 129) & 255)),
    'a WebSocket frame': text('4hello'),
  })) {
    wire(`answers ${name} with 400 and closes`, {}, (world) => assertNodeRefuses(world, bytes))
  }

  /** Newer versions of Node answer 431 where older ones drop surplus headers. */
  async function assertTooManyHeaders(world, peer) {
    const { status } = await response(peer)
    assert.ok(status === 400 || status === 431, `status ${status}`)
    assert.deepEqual(world.sessions, [])
    world.server.maxHeadersCount = 2000
  }

  for (let kept = 1; kept <= 4; kept++) {
    wire(
      `refuses an upgrade when only ${kept} of 5 upgrade headers fit, without throwing`,
      {},
      async (world) => {
        world.server.maxHeadersCount = kept
        await assertTooManyHeaders(world, await world.peer(upgrade()))
      },
    )
  }

  wire(
    'refuses an upgrade with more than maxHeadersCount headers before the upgrade headers',
    {},
    async (world) => {
      world.server.maxHeadersCount = 20
      const fill = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`X-${index}`, 'a']))
      const peer = await world.peer(request(`GET ${WEBSOCKET}`, { ...fill, ...UPGRADE }))
      await assertTooManyHeaders(world, peer)
    },
  )

  /** This many headers of four bytes each, as properties to spread into a request's headers. */
  const fill = (count) => ({ a: Array.from({ length: count }, () => 'b') })
  const host = { Host: '127.0.0.1' }
  const late = {
    Origin: { Origin: 'http://evil.example' },
    'Transfer-Encoding': { 'Transfer-Encoding': 'chunked' },
    'Content-Length': { 'Content-Length': '6' },
  }
  // Without a limit of the server's own, Node keeps 2000 names and values.
  for (const [limit, most] of Object.entries({ null: 1000, 64: 64, 2000: 2000 })) {
    for (const [name, header] of Object.entries(late)) {
      wire(`sends no 101 when ${name} comes behind maxHeadersCount ${limit}`, {}, async (world) => {
        world.server.maxHeadersCount = JSON.parse(limit)
        const headers = { ...UPGRADE, ...fill(most - 5), ...header }
        const peer = await world.peer(request(`GET ${WEBSOCKET}`, headers))
        await assertTooManyHeaders(world, peer)
      })
    }

    wire(
      `opens no polling session when an Origin comes behind maxHeadersCount ${limit}`,
      {},
      async (world) => {
        world.server.maxHeadersCount = JSON.parse(limit)
        const headers = { ...host, ...fill(most - 1), ...late.Origin }
        const peer = await world.peer(request(`GET ${POLLING}`, headers))
        await assertTooManyHeaders(world, peer)
      },
    )

    wire(
      `refuses a request that reaches maxHeadersCount ${limit} with 400, and accepts one header fewer`,
      {},
      async (world) => {
        world.server.maxHeadersCount = JSON.parse(limit)
        const ask = (target, headers, count) =>
          world.peer(
            request(`GET ${target}`, { ...headers, ...fill(count - Object.keys(headers).length) }),
          )
        for (const [target, headers] of [
          [POLLING, host],
          [WEBSOCKET, UPGRADE],
        ]) {
          const refused = await response(await ask(target, headers, most))
          assert.deepEqual([refused.status, refused.headers.connection], [400, 'close'])
          const { code, context } = await world.refusal()
          assert.deepEqual([code, context], [3, { name: 'TOO_MANY_HEADERS' }])
        }
        assert.deepEqual(world.sessions, [])
        assert.equal((await response(await ask(POLLING, host, most - 1))).status, 200)
        await opened(await ask(WEBSOCKET, UPGRADE, most - 1))
      },
    )
  }

  wire('has no limit with maxHeadersCount 0', {}, async (world) => {
    world.server.maxHeadersCount = 0
    const many = fill(2500)
    const peer = await world.peer(
      request(`GET ${WEBSOCKET}`, { ...UPGRADE, ...many, ...late.Origin }),
    )
    assert.equal((await response(peer)).status, 403)
    await opened(await world.peer(request(`GET ${WEBSOCKET}`, { ...UPGRADE, ...many })))
  })
})
