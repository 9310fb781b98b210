// The bench of compression: `node bench/compression.mjs`. 1,000 WebSocket clients that offer what browsers
// offer, on stock socket.io and on upwire with `perMessageDeflate`; see README.md in this folder.

import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { CompressedClient, text } from './harness/compressed-client.mjs'
import { describe, pinning } from './harness/machine.mjs'
import { ServerProcess } from './harness/server-process.mjs'
import { median } from './harness/statistics.mjs'

const CONNECTIONS = 1_000
/** Connections whose messages are inflated and compared. Of the others only frames are counted. */
const CHECKED = 20
const SERVER = new URL('server.mjs', import.meta.url)

const FORMS = {
  'perMessageDeflate: true': { stock: true, upwire: true },
  'no context takeover': {
    stock: { serverNoContextTakeover: true, clientNoContextTakeover: true },
    upwire: { serverNoContextTakeover: true, clientNoContextTakeover: true },
  },
  'context takeover': {
    stock: true,
    upwire: { serverNoContextTakeover: false, clientNoContextTakeover: false },
  },
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
  },
})
const seconds = Number(values.seconds)
const { server: core } = pinning() ?? {}

const machine = describe()
console.log(`${machine.date}  ${machine.cores} × ${machine.cpu}, load ${machine.load.join(' ')}`)
console.log(`Node ${machine.node}, socket.io ${machine.socketio}, ws ${machine.ws}`)
console.log(`${CONNECTIONS} connections, messages of ${text.length} bytes\n`)
console.log('| form | figure | stock | upwire | ratio |\n|---|---|---|---|---|')
for (const [name, options] of Object.entries(FORMS)) {
  const samples = { stock: [], upwire: [] }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const peer of round % 2 ? ['upwire', 'stock'] : ['stock', 'upwire']) {
      samples[peer].push(await measure(peer, options[peer]))
    }
  }
  for (const figure of ['KiB per connection', 'CPU µs per echo', 'CPU µs per delivery']) {
    const [stock, upwire] = ['stock', 'upwire'].map((peer) =>
      median(samples[peer].map((sample) => sample[figure])),
    )
    const ratio = (upwire / stock).toFixed(2)
    console.log(`| ${name} | ${figure} | ${stock.toFixed(1)} | ${upwire.toFixed(1)} | ${ratio} |`)
  }
}

async function measure(peer, perMessageDeflate) {
  // No pings: with context takeover stock compresses them, and most clients here inflate nothing.
  const options = { perMessageDeflate, pingInterval: 600_000 }
  process.env.UPWIRE_BENCH_OPTIONS = JSON.stringify(options)
  const server = await ServerProcess.start(SERVER, [peer], { flags: ['--expose-gc'], core })
  const clients = []
  try {
    // The first clients warm everything up, so that the rest shows what a connection costs.
    await connectAll(server.port, clients, 100)
    await echo(server, clients, 1)
    const before = await server.ask('memory')
    await connectAll(server.port, clients, CONNECTIONS)
    await echo(server, clients, 1)
    const after = await server.ask('memory')
    const kib = (after.rss - before.rss) / 1024 / (CONNECTIONS - 100)
    const perEcho = await echo(server, clients, seconds)
    const perDelivery = await broadcast(server, clients)
    await Promise.all(clients.map(({ checked }) => checked))
    if (clients.some((client) => client.isWrong)) throw new Error(`${peer}: a message is wrong`)
    return {
      'KiB per connection': kib,
      'CPU µs per echo': perEcho,
      'CPU µs per delivery': perDelivery,
    }
  } finally {
    for (const client of clients) client.end()
    await server.end()
  }
}

async function connectAll(port, clients, count) {
  while (clients.length < count) {
    const more = Array.from({ length: Math.min(50, count - clients.length) }, (_, index) =>
      CompressedClient.open(port, clients.length + index < CHECKED),
    )
    clients.push(...(await Promise.all(more)))
  }
}

/** Server CPU time per echo, with one outstanding on each connection. */
async function echo(server, clients, time) {
  for (const client of clients) client.start()
  await sleep(500)
  const before = await server.ask('sample')
  await sleep(time * 1000)
  const after = await server.ask('sample')
  await Promise.all(clients.map((client) => client.stop()))
  return cpu(before, after) / (after.echoes - before.echoes)
}

/** Server CPU time per receiver of a broadcast, with one outstanding. */
async function broadcast(server, clients) {
  const count = Math.round(seconds * 20)
  const before = await server.ask('sample')
  for (let done = 0; done < count; done++) {
    const arrived = clients.map((client) => client.next())
    await server.ask('broadcast', { count: 1, rate: 1000, text })
    await Promise.all(arrived)
  }
  const after = await server.ask('sample')
  return cpu(before, after) / (count * clients.length)
}

function cpu(before, after) {
  return after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system
}
