// The bench of compression: `node bench/compression.mjs`. 1,000 WebSocket clients that offer what browsers
// offer, on stock socket.io and on upwire with `perMessageDeflate`; see README.md in this folder.

import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { constants, createInflateRaw, deflateRawSync } from 'node:zlib'

import { describe, pinning } from './harness/machine.mjs'
import { ServerProcess } from './harness/server-process.mjs'
import { median } from './harness/statistics.mjs'

const CONNECTIONS = 1_000
/** Connections whose messages are inflated and compared. Of the others only frames are counted. */
const CHECKED = 20
const TAIL = Buffer.from([0, 0, 0xff, 0xff])
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

/** About 2 KiB of JSON, as an app may send it. */
const text = JSON.stringify(
  Array.from({ length: 30 }, (_, id) => ({
    id: 7_919 * id,
    name: `player-${(id * 31_337) % 997}`,
    x: ((id * 104_729) % 10_007) / 7,
    y: ((id * 1_299_709) % 10_007) / 7,
  })),
)

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
      Client.open(port, clients.length + index < CHECKED),
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

/** A masked frame with a compressed message. The mask is zero, so that the bytes are those of the message. */
function compressed(message) {
  const flushed = deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH })
  const payload = flushed.subarray(0, -TAIL.length)
  const head = Buffer.from([
    0xc1,
    0x80 | 126,
    payload.length >> 8,
    payload.length & 255,
    0,
    0,
    0,
    0,
  ])
  return Buffer.concat([head, payload])
}

const ECHO = compressed(`42${JSON.stringify(['echo', text])}`)
const ANSWER = `42${JSON.stringify(['echo', text])}`
const NEWS = `42${JSON.stringify(['news', text])}`

class Client {
  isWrong = false
  #socket
  #rest = Buffer.alloc(0)
  #inflate
  #keepsContext
  /** Frames that have come: the open packet, the answer to CONNECT, and then events. */
  #frames = 0
  #isRunning = false
  #arrival
  #stopped

  /** Opens a WebSocket and connects to the namespace. */
  static async open(port, isChecked) {
    const client = new Client()
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    client.#socket = socket
    socket.write(
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\n' +
        'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
        'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n',
    )
    let bytes = ''
    while (!bytes.includes('\r\n\r\n')) bytes += (await once(socket, 'data'))[0].toString('latin1')
    const [head] = bytes.split('\r\n\r\n', 1)
    if (!head.includes('permessage-deflate')) throw new Error(`no compression: ${head}`)
    client.#keepsContext = !head.includes('server_no_context_takeover')
    client.#inflate = isChecked ? createInflateRaw() : undefined
    const connected = client.next()
    socket.on('data', (data) => client.#read(data))
    client.#read(Buffer.from(bytes.slice(head.length + 4), 'latin1'))
    socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]))
    await connected
    return client
  }

  /** Resolves at the next event, or once the namespace is connected. */
  next() {
    return new Promise((resolve) => {
      this.#arrival = resolve
    })
  }

  /** Sends an echo whenever the last one has come back. */
  start() {
    this.#isRunning = true
    this.#socket.write(ECHO)
  }

  /** Resolves when no echo is outstanding. */
  stop() {
    this.#isRunning = false
    return new Promise((resolve) => {
      this.#stopped = resolve
    })
  }

  end() {
    this.#socket.destroy()
  }

  #read(data) {
    let rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data
    while (rest.length >= 2) {
      const isLong = rest[1] === 126
      if (isLong && rest.length < 4) break
      const start = isLong ? 4 : 2
      const end = start + (isLong ? rest.readUInt16BE(2) : rest[1])
      if (rest.length < end) break
      this.#onFrame(rest[0], rest.subarray(start, end))
      rest = rest.subarray(end)
    }
    this.#rest = rest
  }

  #onFrame(first, payload) {
    this.#frames++
    if (first === 0xc1) this.#check(payload)
    if (this.#frames === 1) return
    this.#arrival?.()
    this.#arrival = undefined
    if (this.#frames === 2) return
    // All events are long enough to be compressed.
    if (first !== 0xc1) this.isWrong = true
    if (this.#isRunning) this.#socket.write(ECHO)
    else this.#stopped?.()
  }

  #check(payload) {
    if (this.#inflate === undefined) return
    const message = this.#keepsContext ? this.#inflate : createInflateRaw()
    let inflated = ''
    message.removeAllListeners('data')
    message.on('data', (chunk) => {
      inflated += chunk
    })
    message.write(Buffer.concat([payload, TAIL]))
    message.flush(() => {
      if (inflated.length >= NEWS.length && inflated !== ANSWER && inflated !== NEWS) {
        this.isWrong = true
      }
    })
  }
}
