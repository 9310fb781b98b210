// A process without a free descriptor (docs/protocol.md#other-upgrades-and-descriptors).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '../support/events.mjs'
import { App } from '../support/app.mjs'
import { opened } from '../support/engine-clients.mjs'
import { readText, text } from '../support/frames.mjs'
import { upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'

/** An app that echoes. */
async function program() {
  const server = createServer()
  const engine = new Engine()
  engine.attach(server)
  engine.on('connection', (socket) => socket.on('data', (data) => socket.send(data)))
  process.on('uncaughtException', (error) => tell('error', error.stack))
  hear('count', () => tell('counted', engine.stats()))
  tell('port', await listen(server))
}

async function count(app) {
  const index = app.values('counted').length
  app.send('count')
  return app.report('counted', index + 1)
}

describe('without a free descriptor', () => {
  test('serves the last WebSocket through its stream and further clients once others have left', {
    timeout: 30_000,
  }, async (t) => {
    const app = await App.start(t, program, {}, { descriptors: 50 })
    const open = async () => {
      const peer = await Peer.connect(app.port)
      t.after(() => peer.destroy())
      return peer.write(upgrade())
    }
    const prove = async (peer) => {
      peer.write(text('4echo'))
      assert.equal(await readText(peer), '4echo')
    }
    const peers = []
    while ((await count(app)).streams === 0) {
      assert.ok(peers.length < 50, 'the process reaches its limit of descriptors')
      const peer = await open()
      await opened(peer)
      peers.push(peer)
    }
    for (const peer of peers) await prove(peer)
    // Either only the kernel accepts this one, or Node refuses it at once.
    const late = await open()
    assert.equal((await count(app)).sessions, peers.length)
    for (const peer of peers.splice(0, 5)) peer.destroy()
    await until(async () => (await count(app)).sessions <= peers.length + 1, 'places')
    late.destroy()
    const last = await open()
    await opened(last)
    for (const peer of [...peers, last]) await prove(peer)
    assert.deepEqual(app.values('error'), [])
  })
})
