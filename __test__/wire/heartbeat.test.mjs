// Heartbeat (docs/protocol.md#heartbeat).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { App } from '../support/app.mjs'
import { openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { elapse, gather, until } from '../support/events.mjs'
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
import { WEBSOCKET, request, response, upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { wire } from '../support/world.mjs'

const FAST = { pingInterval: 80, pingTimeout: 80 }

describe('without a pong: ping timeout', () => {
  wire('on WebSocket: the ping, then a close frame without status', FAST, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const started = performance.now()
    assert.equal(await readText(peer), '2')
    const { reason } = await session.closed()
    assert.equal(reason, 'ping timeout')
    assert.ok(performance.now() - started > 120, 'not before interval and timeout')
    assert.equal(await readClose(peer), undefined)
    peer.write(close())
    await readEnd(peer)
  })

  wire('on polling: the parked GET gets 1', FAST, async (world) => {
    const client = await openPolling(world)
    assert.equal(await client.poll(), '2')
    const parked = await client.get()
    assert.equal((await client.session.closed()).reason, 'ping timeout')
    assert.equal((await response(parked)).text, '1')
  })

  wire('ends a session that is opened and never used', FAST, async (world) => {
    const client = await openPolling(world)
    assert.equal((await client.session.closed()).reason, 'ping timeout')
  })

  wire('ends probe and POST connections as well', FAST, async (world) => {
    const client = await openPolling(world)
    const probe = await client.probe()
    const headers = { Host: '127.0.0.1', 'Content-Length': '1000' }
    const poster = await world.peer(request(`POST ${client.target}`, headers), '4half')
    assert.equal((await client.session.closed()).reason, 'ping timeout')
    assert.equal(await readClose(probe), undefined)
    probe.write(close())
    await readEnd(probe)
    await poster.ending()
    assert.deepEqual(client.session.messages, [])
  })

  wire(
    'with pongs every session lives on, and each pong is a heartbeat event',
    FAST,
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      const client = await openPolling(world)
      const beats = [
        gather(session.socket, 'heartbeat'),
        gather(client.session.socket, 'heartbeat'),
      ]
      for (let round = 0; round < 4; round++) {
        const [onSocket, onPolling] = await Promise.all([readText(peer), client.poll()])
        assert.deepEqual([onSocket, onPolling], ['2', '2'])
        peer.write(text('3'))
        await client.send('3')
      }
      await until(() => beats.every((events) => events.length === 4), 'four heartbeats each')
      assert.deepEqual(session.closes, [])
      assert.deepEqual(client.session.closes, [])
    },
  )
})

describe('traffic without a pong', () => {
  wire(
    'the first packet after a ping restarts the timeout once',
    { pingInterval: 50, pingTimeout: 400 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      assert.equal(await readText(peer), '2')
      const pinged = performance.now()
      // The first packet comes halfway; the packets that keep following no longer count.
      await elapse(200)
      peer.write(text('4first'))
      const restarted = performance.now()
      const more = setInterval(() => peer.ended ?? peer.write(text('4more')), 20)
      const { reason } = await session.closed()
      const now = performance.now()
      clearInterval(more)
      assert.equal(reason, 'ping timeout')
      assert.ok(now - pinged > 500, `after the ping it took ${now - pinged} ms: not restarted`)
      assert.ok(now - restarted < 1500, `after the first packet it took ${now - restarted} ms`)
      assert.equal(await readClose(peer), undefined)
    },
  )

  wire(
    'WebSocket pings and pongs do not count as packets',
    { pingInterval: 50, pingTimeout: 200 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      const noise = setInterval(
        () => peer.ended ?? peer.write(frame(OP.PING, ''), frame(OP.PONG, '')),
        20,
      )
      const { reason } = await session.closed()
      clearInterval(noise)
      assert.equal(reason, 'ping timeout')
    },
  )
})

describe('a half-open peer', () => {
  wire(
    'gets the ping timeout, then RST after closeTimeout',
    { ...FAST, closeTimeout: 100 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      assert.equal((await session.closed()).reason, 'ping timeout')
      assert.equal(await readText(peer), '2')
      assert.equal(await readClose(peer), undefined)
      assert.equal((await peer.rest()).length, 0)
      assert.equal(peer.ended, 'reset')
    },
  )

  wire(
    'is reset also with bytes that it never reads',
    { ...FAST, closeTimeout: 100, maxSendBuffer: 0 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.pause()
      session.socket.send('x'.repeat(30_000_000))
      assert.equal((await session.closed()).reason, 'ping timeout')
      peer.resume()
      await peer.rest()
      assert.equal(peer.ended, 'reset')
    },
  )
})

/** A client of a server in another process; it answers pings until the test stops it. */
class Beating {
  constructor(peer) {
    this.peer = peer
    this.answers = true
    this.pings = []
    this.messages = []
    this.done = this.#read()
  }

  static async open(port) {
    const peer = await Peer.connect(port)
    peer.write(upgrade(WEBSOCKET))
    await opened(peer)
    return new Beating(peer)
  }

  async #read() {
    while (await this.peer.some()) {
      const got = await readFrame(this.peer)
      if (got.opcode === OP.CLOSE) {
        this.closed = true
        return
      }
      if (got.text !== '2') this.messages.push(got.text)
      else {
        this.pings.push(performance.now())
        if (this.answers) this.pong()
      }
    }
  }

  pong() {
    this.peer.write(text('3'))
  }

  async nextPing() {
    const count = this.pings.length
    await until(
      () => this.pings.length > count || this.closed || this.peer.ended,
      () => `a ping after ${count}`,
    )
    const { closed, peer } = this
    assert.ok(
      this.pings.length > count,
      `closed ${closed}, ended ${peer.ended} after ${count} pings`,
    )
  }
}

/**
 * An engine in a process of its own. The test can block it, and it reports what its sessions see.
 */
async function program(options) {
  const server = createServer((_req, res) => res.end())
  const engine = new Engine(options)
  engine.attach(server)
  let messages = 0
  engine.on('connection', (socket) => {
    socket.on('data', () => messages++)
    socket.on('close', (reason) => tell('close', reason))
  })
  engine.on('limit', (limit) => tell('limit', limit))
  hear('block', (ms) => {
    block(ms)
    // In the turn after, the app has seen everything that was waiting.
    setTimeout(() => tell('unblocked', { messages, sessions: engine.clientsCount }), 50)
  })
  hear('count', () => tell('count', { messages, sessions: engine.clientsCount }))
  tell('port', await listen(server))
}

/** Clients of such an app. */
async function clientsOf(t, app, count) {
  const clients = await Promise.all(Array.from({ length: count }, () => Beating.open(app.port)))
  t.after(() => {
    for (const { peer } of clients) peer.destroy()
  })
  return clients
}

async function assertAllThere(app, clients) {
  await Promise.all(clients.map((client) => client.nextPing()))
  await Promise.all(clients.map((client) => client.nextPing()))
  assert.deepEqual(app.values('close'), [])
}

describe('an app whose event loop is blocked', () => {
  test('keeps 10 of 10 clients: pings are sent and pongs count', { timeout: 30_000 }, async (t) => {
    const app = await App.start(t, program, { pingInterval: 100, pingTimeout: 250 })
    const clients = await clientsOf(t, app, 10)
    await Promise.all(clients.map((client) => client.nextPing()))
    const before = clients.map(({ pings }) => pings.length)
    app.send('block', 1500)
    const { sessions } = await app.report('unblocked')
    assert.equal(sessions, 10)
    clients.forEach(({ pings }, index) => {
      const during = pings.length - before[index]
      assert.ok(during >= 4, `${during} pings in 1500 ms of 100 ms each`)
    })
    await assertAllThere(app, clients)
  })

  test('stops pings after maxLoopStall without a turn, and resumes them with the turns', {
    timeout: 30_000,
  }, async (t) => {
    const app = await App.start(t, program, {
      pingInterval: 100,
      pingTimeout: 5000,
      maxLoopStall: 400,
    })
    const [client] = await clientsOf(t, app, 1)
    await client.nextPing()
    const started = performance.now()
    app.send('block', 2400)
    await app.report('unblocked')
    const silent = client.pings.filter((at) => at > started + 1500 && at < started + 2200)
    assert.deepEqual(silent, [], 'no pings while the app is dead')
    const early = client.pings.filter((at) => at > started && at < started + 400)
    assert.ok(early.length > 0, 'pings before that')
    await assertAllThere(app, [client])
  })

  test('does not take an idle loop for a stalled one', { timeout: 30_000 }, async (t) => {
    const app = await App.start(t, program, {
      pingInterval: 100,
      pingTimeout: 5000,
      maxLoopStall: 300,
    })
    const [client] = await clientsOf(t, app, 1)
    for (let count = 0; count < 8; count++) await client.nextPing()
    const gaps = client.pings.slice(1).map((at, index) => at - client.pings[index])
    assert.ok(Math.max(...gaps) < 1000, `gaps between pings: ${gaps}`)
  })

  test('stops the timeout while reading is paused because the app lags', {
    timeout: 30_000,
  }, async (t) => {
    const options = { pingInterval: 100, pingTimeout: 200, maxReceiveQueue: 100_000 }
    const app = await App.start(t, program, options)
    const [client] = await clientsOf(t, app, 1)
    await client.nextPing()
    app.send('block', 1500)
    // More than the queue and one read hold, with the pongs behind it.
    const message = text(`4${'x'.repeat(1000)}`)
    for (let index = 0; index < 600; index++) client.peer.write(message)
    const { sessions } = await app.report('unblocked')
    assert.equal(sessions, 1)
    await until(async () => {
      app.send('count')
      const count = app.values('count').length + 1
      return (await app.report('count', count)).messages === 600
    }, 'all messages')
    const [limit] = app.values('limit')
    assert.deepEqual([limit.name, limit.action], ['maxReceiveQueue', 'paused'])
    await assertAllThere(app, [client])
  })
})

describe('a process that is stopped and continued', () => {
  test('reads what has arrived before it judges a timeout', { timeout: 30_000 }, async (t) => {
    const app = await App.start(t, program, { pingInterval: 300, pingTimeout: 600 })
    const clients = await clientsOf(t, app, 8)
    for (const client of clients) client.answers = false
    await Promise.all(clients.map((client) => client.nextPing()))
    app.signal('SIGSTOP')
    for (const client of clients) {
      client.pong()
      client.answers = true
    }
    // Longer than the timeout, and longer than the one-second gap that counts as a suspension.
    await elapse(1300)
    app.signal('SIGCONT')
    await assertAllThere(app, clients)
  })
})
