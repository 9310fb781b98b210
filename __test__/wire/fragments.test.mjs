// The memory that the fragments allowed by `maxFragments` cost, on 1,000 connections at once
// (docs/protocol.md#limits).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '../support/events.mjs'
import { App } from '../support/app.mjs'
import { opened } from '../support/engine-clients.mjs'
import { OP, frame, readText, text } from '../support/frames.mjs'
import { upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'

const CONNECTIONS = 1000
const FRAGMENTS = 16_384

async function program() {
  const server = createServer()
  const engine = new Engine()
  engine.attach(server)
  engine.on('connection', (socket) => {
    socket.on('data', (data) => socket.send(String(data?.length)))
    socket.on('close', (reason) => tell('close', reason))
  })
  hear('measure', () => tell('measured', { ...engine.stats(), rss: process.memoryUsage.rss() }))
  tell('port', await listen(server))
}

async function measure(app) {
  const count = app.values('measured').length
  app.send('measure')
  return app.report('measured', count + 1)
}

async function connect(t, port) {
  const peer = await Peer.connect(port)
  t.after(() => peer.destroy())
  peer.write(upgrade())
  await opened(peer)
  return peer
}

describe('unfinished messages of as many fragments as allowed, on 1,000 connections', () => {
  for (const [name, payload, most] of [
    ['of one byte', 'x', 2 * FRAGMENTS],
    ['without bytes', '', 0],
  ]) {
    test(`cost a bounded amount of memory each, with fragments ${name}`, {
      timeout: 60_000,
    }, async (t) => {
      const app = await App.start(t, program)
      const peers = []
      while (peers.length < CONNECTIONS) {
        peers.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(t, app.port)))))
      }
      const before = await measure(app)
      const piece = frame(OP.CONTINUATION, payload, { fin: false })
      const pieces = Buffer.alloc(piece.length * (FRAGMENTS - 2), piece)
      for (const peer of peers) await peer.write(text('4', { fin: false }), pieces).flushed()
      // The pong shows that everything before the ping has been read.
      for (const peer of peers) peer.write(frame(OP.PING, ''))
      await Promise.all(peers.map((peer) => peer.read(2)))
      const after = await measure(app)
      const each = (name) => (after[name] - before[name]) / CONNECTIONS
      t.diagnostic(`${each('rss') / 1024} KiB resident, ${each('unfinished') / 1024} counted, each`)
      assert.ok(each('unfinished') <= most + 100, `${each('unfinished')} bytes counted`)
      assert.ok(each('rss') <= most + 8 * 1024, `${each('rss')} bytes resident`)
      // The last allowed fragment completes the message.
      for (const peer of peers) peer.write(frame(OP.CONTINUATION, 'x'))
      const length = String(1 + payload.length * (FRAGMENTS - 2))
      const answers = await Promise.all(peers.map((peer) => readText(peer)))
      assert.deepEqual(new Set(answers), new Set([`4${length}`]))
      await until(async () => (await measure(app)).unfinished === 0, 'no unfinished messages')
      assert.deepEqual(app.values('close'), [])
    })
  }
})
