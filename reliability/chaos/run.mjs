// Chaos: official clients talk to an upwire server through a proxy that disturbs their connections,
// while the server is blocked, stopped and made to close. Run it with `npm run chaos`; the addon
// must be built.
//
//   --seed N      the seed of all random choices; by default a new one, which is printed
//   --seconds N   how long it runs (60)
//   --clients N   the number of clients at once (60)
//   --threads N   ioThreads (1)
//   --tls         use TLS, where connections are JavaScript streams
//   --gentle      end no connections: each must last until its client closes it
//   --keep        do not transfer the memory of received messages
//
// On every connection both sides must see 0, 1, 2… without a gap, repeat or damage until it ends.
// Each session ends once; afterwards a new client is served and nothing is left over. The same seed
// makes the same choices, but not the same timing. Exits with 1 when something was wrong.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { io as connect } from 'socket.io-client'

import { ServerProcess } from '../../bench/harness/server-process.mjs'
import { cert } from '../../__test__/support/certificate.mjs'
import { read } from '../harness/arguments.mjs'
import { Client } from './clients.mjs'
import { Pool } from './messages.mjs'
import { ChaosProxy } from './proxy.mjs'
import { Random } from './random.mjs'

/** For sessions whose client has left: a heartbeat, or a polling session that closes. */
const SETTLING = 45
const MOST_COMPLAINTS = 20

const fresh = Math.floor(Math.random() * 2 ** 31)
const options = read({
  seed: fresh,
  seconds: 60,
  clients: 60,
  threads: 1,
  tls: false,
  gentle: false,
  keep: false,
})
const { seed, seconds, threads, tls, gentle } = options
console.log(`chaos: ${JSON.stringify(options)}, Node ${process.version}`)

const complaints = []
const complain = (text) => {
  complaints.push(text)
  if (complaints.length <= MOST_COMPLAINTS || /server ended/.test(text))
    console.log(`WRONG: ${text}`)
}

const random = new Random(seed, 'run')
const server = await ServerProcess.start(
  new URL('server.mjs', import.meta.url),
  [JSON.stringify({ seed, threads, tls, gentle, transfer: !options.keep })],
  { onReport: ({ complaint }) => complain(complaint) },
)
const proxy = new ChaosProxy(server.port, random.stream('proxy'), gentle)
await proxy.listen()
const counts = {}
const done = { blocked: 0, stopped: 0, closed: 0 }

try {
  await goodClient()
  const before = await server.ask('figures')
  const clients = start()
  await disturb()
  await settle(clients)
  await compare(clients)
  await leftovers(before)
  await goodClient()
  await shut()
} catch (error) {
  complain(error.stack)
}
proxy.close()
await server.end()
console.log(`clients ${JSON.stringify(counts)}`)
console.log(`proxy ${JSON.stringify(proxy.counts)}; server ${JSON.stringify(done)}`)
const failed = complaints.length > 0
console.log(failed ? `chaos: FAILED, ${complaints.length} wrong; --seed ${seed}` : 'chaos: passed')
process.exit(failed ? 1 : 0)

function start() {
  const pool = new Pool(random.stream('pool'))
  const url = { href: `${tls ? 'https' : 'http'}://127.0.0.1:${proxy.port}`, ca: cert }
  return Array.from({ length: options.clients }, (_, index) => {
    const client = new Client(index, url, { random, pool, counts, gentle, complain })
    client.done = client.run()
    return client
  })
}

/** The disturbances other than the proxy's. */
async function disturb() {
  const end = performance.now() + seconds * 1000
  const monkeys = random.stream('monkeys')
  for (;;) {
    const pause = monkeys.between(100, 1200)
    if (performance.now() + pause > end) return sleep(Math.max(0, end - performance.now()))
    await sleep(pause)
    // No connection may be lost by a block or a stop shorter than a heartbeat.
    const kind = gentle ? monkeys.between(50, 92) / 100 : monkeys.next()
    if (kind < 0.5) {
      const count = monkeys.between(1, 6)
      await server.ask('close', count)
      done.closed += count
    } else if (kind < 0.8) {
      await server.ask('block', monkeys.between(30, 1500))
      done.blocked++
    } else if (kind < 0.93) {
      server.signal('SIGSTOP')
      await sleep(monkeys.between(50, gentle ? 1500 : 3000))
      server.signal('SIGCONT')
      done.stopped++
    } else {
      await proxy.restart(monkeys.between(10, 600))
    }
  }
}

/** Ends all disturbances: open connections must be complete and are then closed. */
async function settle(clients) {
  proxy.calm()
  for (const client of clients) client.calm()
  await server.ask('calm')
  await Promise.all(clients.map((client) => client.settle()))
  for (const client of clients) client.stop()
  await Promise.all(clients.map((client) => client.done))
}

/** Neither side may have received a message that the other did not send. */
async function compare(clients) {
  await until(async () => (await server.ask('figures')).clients === 0, 'sessions are left')
  const { all, reasons } = await server.ask('sessions')
  console.log(`${all.length} sessions ended: ${JSON.stringify(reasons)}`)
  const sessions = new Map(all)
  for (const [id, { kind, closes }] of sessions) {
    if (closes !== 1) complain(`${kind} session ${id} emitted close ${closes} times`)
  }
  let sum = 0
  for (const { session, peer } of clients.flatMap((client) => client.sessions)) {
    const ours = peer.counters
    const theirs = sessions.get(session.id)
    if (theirs === undefined) {
      complain(`${session.name}: the server does not know session ${session.id}`)
      continue
    }
    sum += ours.received + theirs.received
    if (ours.received > theirs.sent || theirs.received > ours.sent) {
      complain(`${session.name}: received ${ours.received} of ${theirs.sent}`)
    }
    // An engine that is closed sends its queues first.
    if (gentle && session.isComplete && theirs.received !== ours.sent) {
      complain(`${session.name}: ${theirs.received} of ${ours.sent} messages came before its close`)
    }
  }
  console.log(`${sum} messages received and checked, broadcasts not counted`)
}

async function leftovers(before) {
  let after
  const isBack = async () => {
    after = await server.ask('figures')
    const { clients, sockets, descriptors, stats } = after
    const left = [clients, sockets, stats.unsent, stats.undelivered, stats.pendingHandshakes]
    return descriptors <= before.descriptors && left.every((count) => count === 0)
  }
  await until(isBack, () => `left over: ${JSON.stringify(after)}, before: ${before.descriptors}`)
  if (after.stats.panics > 0) complain(`${after.stats.panics} panics`)
  const mb = (bytes) => (bytes / 1e6).toFixed(1)
  console.log(`RSS ${mb(before.rss)} MB before, ${mb(after.rss)} MB after`)
  console.log(`limits ${JSON.stringify(after.stats.limits)}`)
  if (after.transferred) console.log(`messages ${JSON.stringify(after.transferred)}`)
}

/** Checks both transports without the proxy. */
async function goodClient() {
  for (const transports of [['polling'], ['websocket']]) {
    const url = `${tls ? 'https' : 'http'}://127.0.0.1:${server.port}`
    const socket = connect(url, { transports, ca: cert, forceNew: true, reconnection: false })
    try {
      const counters = await socket.timeout(5_000).emitWithAck('?')
      assert.equal(counters.received, 0)
    } finally {
      socket.disconnect()
    }
  }
}

/** Checks that the server ends by itself. */
async function shut() {
  await server.ask('shut')
  const late = sleep(5_000).then(() => ['still runs'])
  const [code, signal] = await Promise.race([server.ended, late])
  if (code !== 0) complain(`the server's end: ${signal ?? code}`)
}

async function until(condition, what) {
  for (let second = 0; second < SETTLING; second += 0.2) {
    if (await condition()) return
    await sleep(200)
  }
  complain(typeof what === 'function' ? what() : what)
}
