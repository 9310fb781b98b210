// The server's JavaScript thread is blocked for three seconds: pings go out, no client is lost,
// memory stays below its bound, and messages sent meanwhile arrive in order.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { engineClient } from '../support/clients.mjs'
import { start } from '../support/child.mjs'
import { event, gather, until } from '../support/events.mjs'

const programs = new URL('./programs.mjs', import.meta.url)

const CLIENTS = 100
const SENDERS = 10
const BLOCK = 3000
const PING_INTERVAL = 300
const PING_TIMEOUT = 1000
const MiB = 1024 * 1024
const RECEIVE_LIMIT = 16 * MiB
/** The bytes that a sender may keep in its own process. */
const BACKLOG = 256 * 1024
/** Memory beyond the bound: read buffers, text made for JavaScript, and what malloc keeps. */
const SLACK = 32 * MiB

/** Sends as fast as the connection takes it. */
function flood(socket) {
  const filling = 'x'.repeat(1000)
  let count = 0
  let isOver = false
  const more = () => {
    if (isOver || socket.readyState !== 'open') return
    if (socket.transport.ws.bufferedAmount < BACKLOG) {
      for (let n = 0; n < 32; n++) socket.send(`${count++} ${filling}`)
    }
    setImmediate(more)
  }
  more()
  return () => {
    isOver = true
    return count
  }
}

describe('a blocked server', () => {
  test('keeps its clients, its memory and the order of messages', {
    timeout: 60_000,
  }, async (t) => {
    const child = start(t, programs, 'blocking', {
      pingInterval: PING_INTERVAL,
      pingTimeout: PING_TIMEOUT,
      maxTotalReceiveQueue: RECEIVE_LIMIT,
    })
    const url = `http://127.0.0.1:${await child.message('port')}`
    const clients = []
    for (let n = 0; n < CLIENTS; n++) {
      const transports = n < SENDERS || n % 2 === 0 ? ['websocket'] : ['polling', 'websocket']
      const near = engineClient(t, url, { transports })
      near.closes = gather(near, 'close')
      near.pings = 0
      near.on('ping', () => near.pings++)
      clients.push(near)
    }
    await Promise.all(
      clients.map((near) => near.readyState === 'open' || event(near, 'open', 10_000)),
    )
    await until(
      () =>
        clients.every(({ transport, upgrading }) => transport.name === 'websocket' && !upgrading),
      'all upgrades',
    )
    const stops = clients.slice(0, SENDERS).map(flood)
    await until(() => clients.every(({ pings }) => pings > 0), 'a first ping for each')
    const before = child.rss()

    child.send('block', BLOCK)
    await child.message('blocking')
    const pingsBefore = clients.map(({ pings }) => pings)
    let peak = 0
    const watching = setInterval(() => {
      peak = Math.max(peak, child.rss())
    }, 50)
    const blockedFor = await child
      .message('unblocked', BLOCK + 10_000)
      .finally(() => clearInterval(watching))
    // This answer is the first thing that JavaScript did; everything before it happened on other
    // threads.
    const pings = clients.map((near, n) => near.pings - pingsBefore[n])
    assert.ok(blockedFor >= BLOCK - 1)
    const idle = pings.slice(SENDERS)
    t.diagnostic(
      `pings during the block: idle ${Math.min(...idle)} to ${Math.max(...idle)}, senders ${pings.slice(0, SENDERS)}`,
    )
    t.diagnostic(
      `memory: ${(before / MiB).toFixed(1)} MiB before, ${(peak / MiB).toFixed(1)} MiB at most`,
    )
    assert.ok(Math.min(...idle) >= 5, `each idle client is pinged: ${idle}`)
    assert.ok(Math.min(...pings) >= 1, `each sender is pinged: ${pings}`)
    assert.ok(peak - before <= RECEIVE_LIMIT + SLACK, `${(peak - before) / MiB} MiB more`)

    // Afterwards it works as before: more messages are sent, and all of them arrive in order.
    const afterBlock = clients.map(({ pings: count }) => count)
    const unpinged = () =>
      clients.map((_near, n) => n).filter((n) => clients[n].pings <= afterBlock[n])
    await until(() => unpinged().length === 0, 'a ping for each after the block', 10_000).catch(
      (error) => {
        error.message += `; none for ${unpinged()}, closed: ${clients.map(({ closes }) => closes[0]?.[0] ?? '').join()}`
        throw error
      },
    )
    const sent = stops.map((stop) => stop())
    const report = await until(
      async () => {
        child.send('report')
        const seen = await child.message('report', 10_000)
        const isAll = clients.slice(0, SENDERS).every(({ id }, n) => seen.counts[id] === sent[n])
        return isAll || seen.faults.length > 0 ? seen : undefined
      },
      'all messages',
      20_000,
    )
    t.diagnostic(`${sent.reduce((sum, count) => sum + count, 0)} messages`)
    assert.deepEqual(report.faults, [])
    assert.equal(report.clients, CLIENTS)
    assert.deepEqual(
      clients.map(({ closes }) => closes.length),
      Array(CLIENTS).fill(0),
    )
    for (const near of clients) near.close()
  })
})
