// An upgrade on a path without an owner (docs/protocol.md#other-upgrades-and-descriptors).

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe } from 'node:test'
import { Engine } from 'upwire'
import { elapse, until } from '../support/events.mjs'
import { readText, text } from '../support/frames.mjs'
import { ACCEPT, KEY, get, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const TIMEOUT = 60
const options = { destroyUpgradeTimeout: TIMEOUT }

/** Checks for 404 and a close: a short, final answer. */
async function assertNotFound(peer) {
  const answer = await response(peer)
  assert.equal(answer.status, 404)
  assert.equal(answer.headers.connection, 'close')
  assert.equal(Number(answer.headers['content-length']), answer.body.length)
  assert.equal((await peer.rest()).length, 0)
  assert.equal(peer.ended, 'fin')
}

describe('an upgrade that no listener answers gets 404 and a close at destroyUpgradeTimeout', () => {
  for (const target of [
    '/',
    '/other',
    '/engine.io',
    '/_next/webpack-hmr',
    '/engine.iox/?EIO=4&transport=websocket',
  ]) {
    wire(`on ${target}`, options, async (world) => {
      const started = performance.now()
      await assertNotFound(await world.peer(upgrade(target)))
      assert.ok(performance.now() - started > TIMEOUT * 0.8, 'not before the timeout')
      world.assertUntouched()
    })
  }

  wire(
    'when it asks for another protocol, and the app listens for upgrades',
    options,
    async (world) => {
      world.server.on('upgrade', () => {})
      await assertNotFound(await world.peer(upgrade('/other', { Upgrade: 'h2c' })))
    },
  )

  wire('but is a plain request where only upwire wants upgrades', options, async (world) => {
    const answer = await response(await world.peer(upgrade('/other', { Upgrade: 'h2c' })))
    assert.equal(answer.status, 200)
  })

  wire('when upgrade listeners leave it alone', options, async (world) => {
    const seen = []
    world.server.on('upgrade', (req) => seen.push(req.url))
    await assertNotFound(await world.peer(upgrade('/other')))
    assert.deepEqual(seen, ['/other'], 'the other listeners see it')
  })

  wire('when it only has an error listener, which shows no owner', options, async (world) => {
    world.server.on('upgrade', (_req, socket) => socket.on('error', () => {}))
    await assertNotFound(await world.peer(upgrade('/other')))
  })

  wire('when it only has a timeout or close listener', options, async (world) => {
    world.server.on('upgrade', (_req, socket) => {
      socket.on('close', () => {})
      socket.on('timeout', () => {})
      socket.setTimeout(10_000)
    })
    await assertNotFound(await world.peer(upgrade('/other')))
  })

  wire('once, with two engines on one server', options, async (world) => {
    const other = new Engine({ path: '/second', ...options })
    other.attach(world.server)
    await assertNotFound(await world.peer(upgrade('/other')))
    other.close()
  })

  wire('while bytes behind its request stay unread', options, async (world) => {
    await assertNotFound(await world.peer(upgrade('/other'), text('4evil'), get('/smuggled')))
    assert.deepEqual(world.pages, [])
  })

  wire('behind an earlier response that is still to come', options, async (world) => {
    let release
    world.server.removeAllListeners('request')
    world.server.on('request', (_req, res) => {
      release = () => res.end('slow')
    })
    const peer = await world.peer(get('/slow'), upgrade('/other'))
    await until(() => release, 'the earlier request')
    // The timeout of the upgrade passes before the earlier response is sent.
    await elapse(TIMEOUT * 2)
    release()
    assert.equal((await response(peer)).text, 'slow')
    await assertNotFound(peer)
  })
})

describe('an upgrade with an owner is left to it, however slow it is', () => {
  /** Each function shows that it owns the socket; its answer comes long after the timeout. */
  const owners = {
    'with a data listener': (socket) => socket.on('data', () => {}),
    'with a readable listener': (socket) => socket.on('readable', () => {}),
    'with an end listener': (socket) => socket.on('end', () => {}),
    'with a pipe': (socket, { sink }) => socket.pipe(sink),
    'with a data listener a moment later': (socket) =>
      setTimeout(() => socket.on('data', () => {}), TIMEOUT / 4),
  }
  for (const [name, own] of Object.entries(owners)) {
    wire(name, options, async (world) => {
      const { PassThrough } = await import('node:stream')
      const sink = new PassThrough()
      let answered = false
      world.server.on('upgrade', (_req, socket) => {
        own(socket, { sink })
        setTimeout(() => {
          answered = true
          socket.end('mine\n')
        }, TIMEOUT * 4)
      })
      const peer = await world.peer(upgrade('/mine'))
      assert.equal((await peer.readThrough('\n')).toString(), 'mine\n')
      assert.ok(answered)
      assert.equal((await peer.rest()).length, 0)
    })
  }

  wire('that has written: its WebSocket works after the timeout', options, async (world) => {
    let theirs
    world.server.on('upgrade', (req, socket) => {
      theirs = socket
      const accept = createHash('sha1')
        .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64')
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
      setTimeout(() => socket.write(Buffer.from([0x81, 2, 0x68, 0x69])), TIMEOUT * 3)
    })
    const peer = await world.peer(upgrade('/mine', { 'Sec-WebSocket-Key': KEY }))
    const answer = await response(peer)
    assert.deepEqual([answer.status, answer.headers['sec-websocket-accept']], [101, ACCEPT])
    assert.equal(await readText(peer), 'hi')
    theirs.destroy()
  })

  wire(
    'with destroyUpgrade: false, which never answers',
    { ...options, destroyUpgrade: false },
    async (world) => {
      const peer = await world.peer(upgrade('/other'))
      await elapse(TIMEOUT * 3)
      assert.deepEqual([peer.buffered, peer.ended], [0, undefined])
      peer.reset()
    },
  )
})

describe('a client that leaves does no harm: the engine’s error listener is there from the first tick', () => {
  for (const leave of ['reset', 'finish', 'destroy']) {
    wire(`by ${leave}, before and after the timeout`, options, async (world) => {
      for (let round = 0; round < 10; round++) {
        const peer = await world.peer(upgrade('/other'))
        await peer.flushed()
        peer[leave]()
      }
      const peer = await world.peer(upgrade('/other'))
      await peer.readThrough('\r\n')
      peer[leave]()
    })
  }
})
