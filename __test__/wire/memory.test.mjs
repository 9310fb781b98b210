// The memory of a server under attack stays below the sum that its limits give
// (docs/reliability.md, "What the bounds add up to"). Each attack has a server process of its own.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '../support/events.mjs'
import { App } from '../support/app.mjs'
import { opened } from '../support/engine-clients.mjs'
import { text } from '../support/frames.mjs'
import { WEBSOCKET, response, upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'

const KiB = 1024
const MiB = 1024 * KiB

const OPTIONS = { maxTotalReceiveQueue: 16 * MiB, maxTotalSendBuffer: 16 * MiB }

/** The sum from docs/reliability.md, in bytes. */
function sum({ sessions, waiting = 0 }) {
  const { maxTotalReceiveQueue, maxTotalSendBuffer } = OPTIONS
  return (
    // V8 and Node under load, independent of the limits.
    64 * MiB +
    // Limits count the payload plus 64 bytes; a growing queue may have as much again in reserve.
    2 * maxTotalReceiveQueue +
    2 * maxTotalSendBuffer +
    // Early bytes of all waiting upgrades.
    16 * MiB +
    // A session: its objects, the 4 KiB that it reads without room, and a send queue below 64 KiB.
    sessions * (16 + 20 + 64) * KiB +
    waiting * 16 * KiB
  )
}

async function program({ options, slow }) {
  const server = createServer()
  const allowRequest = slow ? () => {} : undefined
  const engine = new Engine({ ...options, allowRequest })
  engine.attach(server)
  const answer = 'x'.repeat(1000)
  let handled = 0
  engine.on('connection', (socket) => {
    socket.on('data', () => {
      // Slow enough that messages come faster than they are handled.
      if (++handled % 100 === 0) block(1)
      socket.send(answer)
    })
  })
  // `process.resourceUsage()` starts with the peak of the parent process.
  const { readFileSync } = await import('node:fs')
  const status = () => readFileSync('/proc/self/status', 'latin1')
  const peak = () => Number(/VmHWM:\s+(\d+)/.exec(status())[1]) * 1024
  hear('stats', () => tell('stats', { peak: peak(), ...engine.stats() }))
  tell('port', await listen(server))
}

/** Kilobytes of messages so small that each takes ten times its size in memory. */
const FLOOD = Buffer.concat(Array.from({ length: 5000 }, () => text('4')))

async function stats(app) {
  app.send('stats')
  return app.report('stats', app.values('stats').length + 1)
}

/** Runs an attack and compares the peak of the server's memory with the sum. */
function attack(name, { slow = false, ...counts }, run) {
  test(name, { timeout: 120_000 }, async (t) => {
    const app = await App.start(t, program, { options: OPTIONS, slow })
    const before = await stats(app)
    const sent = await run(app, t)
    const after = await stats(app)
    const grown = after.peak - before.peak
    const limit = sum(counts)
    const inMiB = (bytes) => (bytes / MiB).toFixed(1)
    const figures = `+${inMiB(grown)} MiB of ${inMiB(limit)}, ${inMiB(sent)} MiB sent`
    t.diagnostic(figures)
    assert.ok(grown < limit, figures)
    assert.equal(after.panics, 0)
  })
}

async function connect(t, app) {
  const peer = await Peer.connect(app.port)
  t.after(() => peer.destroy())
  return peer
}

const skip = process.platform !== 'linux' && 'only Linux reports the peak of a single process'

describe('memory stays below the sum of the limits', { skip }, () => {
  attack('while 1,000 clients send and never read', { sessions: 1000 }, async (app, t) => {
    const peers = []
    for (let index = 0; index < 1000; index++) {
      const peer = await connect(t, app)
      peer.write(upgrade(WEBSOCKET))
      await opened(peer)
      peer.pause()
      peers.push(peer)
    }
    let sent = 0
    for (let round = 0; round < 40; round++) {
      for (const peer of peers) {
        if (peer.unsent > 0) continue
        peer.write(FLOOD)
        sent += FLOOD.length
      }
      await stats(app)
    }
    assert.ok(sent > 64 * MiB, `${sent}`)
    return sent
  })

  attack('while sessions come and go', { sessions: 2000 }, async (app, t) => {
    let sent = 0
    let count = 0
    const churn = async () => {
      while (count < 2000) {
        count++
        const peer = await connect(t, app)
        peer.write(upgrade(WEBSOCKET))
        const { status } = await response(peer)
        if (status === 101) {
          peer.write(FLOOD)
          sent += FLOOD.length
          await peer.flushed()
        }
        peer.destroy()
      }
    }
    await Promise.all(Array.from({ length: 64 }, churn))
    return sent
  })

  attack(
    'while handshakes are slow',
    { sessions: 0, waiting: 1000, slow: true },
    async (app, t) => {
      const early = Buffer.alloc(60 * KiB, 1)
      for (let index = 0; index < 1000; index++) {
        const peer = await connect(t, app)
        peer.write(upgrade(WEBSOCKET), early)
      }
      await until(async () => {
        const { limits } = await stats(app)
        return limits['totalEarlyBytes refused'] > 500
      }, 'the limit on all early bytes')
      return 1000 * early.length
    },
  )
})
