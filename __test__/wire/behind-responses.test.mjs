// Upgrades behind requests that are not answered yet, on one connection: the answers come in order
// while the peer stays, and its end is noticed whatever it waits for. Also upgrades without an
// owner when there is nothing to answer (docs/protocol.md#other-upgrades-and-descriptors).

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { until } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'
import { openPolling } from '../support/engine-clients.mjs'
import { descriptors, opened } from '../support/descriptors.mjs'
import { POLLING, WEBSOCKET, get, request, response, upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { wire } from '../support/world.mjs'

const TIMEOUT = 60
const options = { destroyUpgradeTimeout: TIMEOUT }
/** More than Node buffers for a socket that nothing reads. */
const MANY = Buffer.alloc(300_000, 'x')

/** Routes of the app; `release` answers the requests that wait. */
function serveRoutes({ server }) {
  const waiting = []
  server.removeAllListeners('request')
  server.on('request', (req, res) => {
    if (req.url === '/later') setTimeout(() => res.end('later'), TIMEOUT / 2)
    if (req.url === '/stream') writeOn(res)
    waiting.push(res)
  })
  return waiting
}

function writeOn(res) {
  const timer = setInterval(() => res.write('more'), 5)
  res.on('close', () => clearInterval(timer))
}

const EARLIER = {
  'an answer that comes later': ['/later'],
  'an answer that never comes': ['/hang'],
  'two answers that never come': ['/hang', '/hang'],
  'an answer that does not end': ['/stream'],
}

const TARGETS = {
  'a path that has no owner': '/other',
  'the path of the engine': WEBSOCKET,
  'a URL': 'http://127.0.0.1/other',
}

describe('the end of a peer is noticed behind unanswered requests', () => {
  for (const [what, paths] of Object.entries(EARLIER)) {
    for (const [where, target] of Object.entries(TARGETS)) {
      for (const behind of [[], [MANY]]) {
        const name = `${what}, then an upgrade of ${where}${behind.length > 0 ? ', then bytes' : ''}`

        wire(name, options, async (world) => {
          const waiting = serveRoutes(world)
          const baseline = descriptors()
          for (const leave of ['finish', 'destroy', 'reset']) {
            const arrived = waiting.length + paths.length
            const peer = await world.peer(...paths.map(get), upgrade(target))
            await until(() => waiting.length === arrived, 'the earlier requests')
            if (behind.length > 0) await peer.write(...behind).flushed()
            peer[leave]()
            if (leave === 'finish') await peer.rest()
            peer.destroy()
            await until(
              () => opened(baseline).length === 0,
              () => `the connection to be closed after ${leave}; left: ${opened(baseline)}`,
            )
          }
        })
      }
    }
  }

  for (const [name, own] of Object.entries({
    'without destroyUpgrade': () => {},
    'after a listener has ended its side': (socket) => socket.end(),
  })) {
    wire(name, { ...options, destroyUpgrade: false }, async (world) => {
      world.server.on('upgrade', (_req, socket) => own(socket))
      const peer = await world.peer(upgrade('/other'))
      await peer.flushed()
      peer.finish()
      assert.equal((await peer.rest()).length, 0)
    })
  }

  wire('after a listener has ended its side, behind unread bytes', options, async (world) => {
    const baseline = descriptors()
    world.server.on('upgrade', (_req, socket) => socket.end())
    const peer = await world.peer(upgrade('/other'))
    await peer.rest()
    await peer.write(MANY).flushed()
    peer.destroy()
    await until(
      () => opened(baseline).length === 0,
      () => `the connection to be closed; left: ${opened(baseline)}`,
    )
  })
})

describe('polling requests behind others notice the end of their peer', () => {
  for (const [name, behind] of [
    ['alone', []],
    ['before an upgrade', [upgrade('/other')]],
  ]) {
    for (const leave of ['finish', 'destroy', 'reset']) {
      wire(`a parked GET, ${name}, ${leave}`, options, async (world) => {
        const waiting = serveRoutes(world)
        const client = await openPolling(world)
        const peer = await world.peer(get('/hang'), get(client.target), ...behind)
        await until(() => client.session.socket.transport.writable, 'the GET to be parked')
        peer[leave]()
        const { reason, description } = await client.session.closed()
        assert.equal(reason, 'transport error')
        assert.equal(description.code, 'ERR_UPWIRE_CONNECTION_LOST')
        assert.equal(waiting.length, 1)
      })

      wire(`a waiting handshake, ${name}, ${leave}`, options, async (world) => {
        serveRoutes(world)
        world.goodQuery = { good: 1 }
        world.engine.use((req, _res, next) => req._query.good && next())
        const peer = await world.peer(get('/hang'), get(POLLING), ...behind)
        const { engine } = world
        await until(() => engine.stats().pendingHandshakes === 1, 'the handshake to wait')
        peer[leave]()
        // handshakeTimeout is 20 s.
        await until(() => engine.stats().pendingHandshakes === 0, 'the handshake to end')
      })
    }
  }

  for (const [name, behind] of [
    ['alone', ''],
    ['before an upgrade', upgrade('/other')],
  ]) {
    test(`the client bundle, ${name}: closes its file`, async (t) => {
      let waiting = 0
      const server = createServer(() => waiting++)
      const { port } = await serve(t, {}, server)
      const baseline = descriptors()
      const peer = await Peer.connect(port)
      peer.write(get('/hang'), get('/socket.io/socket.io.js'), behind)
      const isOpen = () => opened(baseline).some(([, target]) => target.endsWith('socket.io.js'))
      await until(isOpen, 'an open file')
      assert.equal(waiting, 1)
      peer.destroy()
      await until(
        () => opened(baseline).length === 0,
        () => `all descriptors to be closed; left: ${opened(baseline)}`,
      )
    })
  }

  wire('16 GETs behind others on one connection share one listener', {}, async (world) => {
    const warnings = []
    const warn = (warning) => warnings.push(warning.name)
    process.on('warning', warn)
    const waiting = serveRoutes(world)
    const clients = []
    for (let count = 0; count < 16; count++) clients.push(await openPolling(world))
    const peer = await world.peer(get('/hang'), ...clients.map(({ target }) => get(target)))
    await until(
      () => clients.every(({ session }) => session.socket.transport.writable),
      'all GETs to be parked',
    )
    for (const { session } of clients) session.socket.send('hello')
    waiting[0].end('first')
    assert.equal((await response(peer)).text, 'first')
    for (const _ of clients) assert.equal((await response(peer)).text, '4hello')
    await peer.write(get('/hang')).flushed()
    process.off('warning', warn)
    assert.ok(!warnings.includes('MaxListenersExceededWarning'), String(warnings))
  })
})

describe('the number of requests behind others on one connection is bounded', () => {
  wire('queues 256 waiting handshakes and refuses the next with 503', {}, async (world) => {
    const waiting = []
    world.goodQuery = { good: 1 }
    world.engine.use((req, _res, next) => (req._query.good ? next() : waiting.push(next)))
    const peer = await world.peer(...Array.from({ length: 270 }, () => get(POLLING)))
    await until(() => world.refusals.length === 13, 'the other refusals')
    assert.equal(waiting.length, 257)
    assert.deepEqual(world.refusals[0].context, { name: 'PIPELINED', message: 'Too many requests' })
    for (const next of waiting) next()
    for (let count = 0; count < 257; count++) assert.equal((await response(peer)).status, 200)
    assert.equal((await response(peer)).status, 503)
    // A refusal is final: the waiting handshakes do not become sessions.
    assert.equal((await peer.rest()).length, 0)
  })

  test('opens at most 17 files for the client bundle', async (t) => {
    const { port } = await serve(t, {}, createServer())
    const baseline = descriptors()
    const peer = await Peer.connect(port)
    peer.write(...Array.from({ length: 100 }, () => get('/socket.io/socket.io.js')))
    let most = 0
    const files = () => opened(baseline).filter(([, target]) => target.endsWith('socket.io.js'))
    const looks = setInterval(() => {
      most = Math.max(most, files().length)
    })
    for (let count = 0; count < 17; count++) assert.equal((await response(peer)).status, 200)
    assert.equal((await response(peer)).status, 503)
    await peer.rest()
    clearInterval(looks)
    assert.ok(most <= 17, `${most} files were open at once`)
    peer.destroy()
  })
})

describe('answers come in order while the peer stays', () => {
  for (const [where, target] of Object.entries(TARGETS)) {
    const status = target === '/other' ? 404 : 400

    wire(`answers an upgrade of ${where} behind unread bytes`, options, async (world) => {
      const waiting = serveRoutes(world)
      const peer = await world.peer(get('/a'), get('/b'), upgrade(target), MANY)
      await until(() => waiting.length === 2, 'the earlier requests')
      await peer.flushed()
      waiting[1].end('second')
      waiting[0].end('first')
      assert.equal((await response(peer)).text, 'first')
      assert.equal((await response(peer)).text, 'second')
      assert.equal((await response(peer)).status, status)
      assert.equal((await peer.rest()).length, 0)
      assert.equal(peer.ended, 'fin')
    })

    wire(
      `ends with an earlier response that closes the connection: ${where}`,
      options,
      async (world) => {
        const waiting = serveRoutes(world)
        const peer = await world.peer(get('/a'), upgrade(target))
        await until(() => waiting.length === 1, 'the earlier request')
        waiting[0].setHeader('Connection', 'close')
        waiting[0].end(MANY)
        assert.equal((await response(peer)).body.length, MANY.length)
        assert.equal((await peer.rest()).length, 0)
      },
    )
  }
})

describe('an owner behind an earlier response keeps its upgrade', () => {
  const owners = {
    'it writes at once': (socket) => socket.write('mine\n'),
    'it listens at once': (socket) => socket.on('data', () => {}),
    'it listens in time': (socket) => setTimeout(() => socket.on('data', () => {}), TIMEOUT / 4),
  }
  for (const [name, own] of Object.entries(owners)) {
    wire(name, options, async (world) => {
      const waiting = serveRoutes(world)
      let theirs
      world.server.on('upgrade', (req, socket) => {
        if (req.url !== '/other') return
        theirs = socket
        own(socket)
      })
      const peer = await world.peer(get('/a'), upgrade('/other'))
      await until(() => theirs, 'the upgrade')
      waiting[0].end('first')
      // An upgrade without an owner is answered once the owners' time is over.
      assert.equal((await response(await world.peer(upgrade('/lost')))).status, 404)
      theirs.end('the end\n')
      assert.match((await peer.rest()).toString(), /the end\n$/)
    })
  }
})

describe('server.closeAllConnections()', () => {
  for (const [where, target] of Object.entries(TARGETS)) {
    wire(`ends a refused upgrade of ${where} that waits for an answer`, options, async (world) => {
      const waiting = serveRoutes(world)
      const peer = await world.peer(get('/hang'), upgrade(target))
      await until(() => waiting.length === 1, 'the earlier request')
      // An upgrade without an owner is answered once the refusal waits as well.
      assert.equal((await response(await world.peer(upgrade('/lost')))).status, 404)
      world.server.closeAllConnections()
      await peer.ending()
      assert.equal(peer.buffered, 0)
    })
  }
})

describe('answers that the client does not read', () => {
  const limited = { maxSendBuffer: 1_000_000 }
  wire('cuts what waits behind others when the session reaches a limit', limited, async (world) => {
    world.server.removeAllListeners('request')
    world.server.on('request', () => {})
    const client = await openPolling(world)
    const { socket } = client.session
    const peer = await world.peer(get('/hang'), get(client.target))
    await until(() => socket.transport.writable, 'the GET to be parked')
    socket.send('x'.repeat(20_000_000))
    await until(() => !socket.transport.writable, 'the GET to be answered')
    socket.send('one more')
    const { description } = await client.session.closed()
    assert.equal(description.code, 'ERR_UPWIRE_SLOW_CONSUMER')
    await peer.ending()
  })

  wire(
    'does not count preflights answered behind others as pending handshakes',
    { cors: { origin: '*' }, maxPendingHandshakes: 8 },
    async (world) => {
      const waiting = serveRoutes(world)
      const preflight = request(`OPTIONS ${POLLING}`, {
        Host: '127.0.0.1',
        Origin: 'http://page.example',
        'Access-Control-Request-Method': 'POST',
      })
      const peer = await world.peer(get('/hang'), ...Array.from({ length: 8 }, () => preflight))
      await until(() => waiting.length === 1, 'the earlier request')
      await world.proveGood()
      assert.equal(world.engine.stats().pendingHandshakes, 0)
      assert.deepEqual(world.refusals, [])
      waiting[0].end('first')
      assert.equal((await response(peer)).text, 'first')
      for (let count = 0; count < 8; count++) assert.equal((await response(peer)).status, 204)
    },
  )

  wire('ends a session with more than 16 answers on their way', {}, async (world) => {
    world.server.removeAllListeners('request')
    world.server.on('request', () => {})
    const client = await openPolling(world)
    const { socket } = client.session
    const ask = async () => {
      // Queued behind a request that the app does not answer, this one can never be read.
      const peer = await world.peer(get('/hang'), get(client.target))
      await until(() => socket.transport.writable, 'the GET to be parked')
      socket.send('x'.repeat(60_000))
      await until(() => !socket.transport.writable, 'the GET to be answered')
      return peer
    }
    for (let count = 0; count < 16; count++) await ask()
    assert.equal(socket.readyState, 'open')
    await ask()
    assert.equal((await client.session.closed()).description.code, 'ERR_UPWIRE_OVERLAP')
  })
})
