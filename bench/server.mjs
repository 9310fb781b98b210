// The measured server: `node --expose-gc bench/server.mjs stock|upwire`, started by run.mjs with an
// IPC channel. Both peers get the same HTTP server, the same handlers and default options; they
// differ in one line.

import http from 'node:http'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout } from 'node:timers/promises'

import { answer } from './harness/answers.mjs'

const require = createRequire(import.meta.url)

const { UPWIRE_BENCH_AGAINST: against, UPWIRE_BENCH_OPTIONS: given } = process.env
/** Options for both peers, as JSON. */
const options = given === undefined ? undefined : JSON.parse(given)

const peers = {
  stock: against
    ? (server) => require(resolve(against)).attach(server, options)
    : (server) => new (require('socket.io').Server)(server, options),
  upwire: (server) => require('../index.js').attach(server, options),
}

const page = Buffer.from(
  `<!doctype html><title>page</title><body>${'<p>Some text, as pages have it.</p>'.repeat(90)}</body>`,
)

/** What the handlers have counted; the runner divides CPU time by it. */
const seen = { echoes: 0, connections: 0, disconnects: 0, broadcasts: 0 }

/**
 * Twelve digits of the broadcast's number, by which the client checks the order, and filler up to
 * 64 bytes.
 */
function broadcast(text) {
  const number = seen.broadcasts++
  io.emit('news', text ?? number.toString(16).padStart(12, '0') + 'x'.repeat(52))
}

const server = http.createServer((request, response) => {
  const found = request.url === '/page'
  response.writeHead(found ? 200 : 404, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': found ? page.length : 0,
  })
  response.end(found ? page : undefined)
})
// The probers keep their connections; the bench does not measure how idle ones are closed.
server.keepAliveTimeout = 60_000

const attach = peers[process.argv[2]]
if (!attach || !process.send) {
  console.error('usage: started by bench/run.mjs with stock or upwire')
  process.exit(2)
}

const io = attach(server)

io.on('connection', (socket) => {
  seen.connections++
  socket.on('echo', (message) => {
    seen.echoes++
    socket.emit('echo', message)
  })
  socket.on('more', () => broadcast())
  socket.on('disconnect', () => {
    seen.disconnects++
  })
})

const operations = {
  /** CPU time of the whole process, all threads, with the counts at the same moment. */
  sample() {
    return { at: performance.now(), cpu: process.cpuUsage(), ...seen }
  },

  /**
   * Resident memory after garbage collection: twice, since finalizers free native memory only after
   * the first.
   */
  async memory() {
    for (let pass = 0; pass < 2; pass++) {
      global.gc()
      await setTimeout(200)
    }
    return { rss: process.memoryUsage().rss }
  },

  /**
   * Broadcasts `count` times, `rate` per second, the `text` if there is one. A late broadcast does not delay the following
   * ones, and between two there is at least one turn of the event loop.
   */
  async broadcast({ count, rate, text }) {
    const times = []
    const start = performance.now()
    for (let done = 0; done < count; done++) {
      const wait = start + (done * 1000) / rate - performance.now()
      await (wait > 1 ? setTimeout(wait) : setImmediate())
      const before = performance.now()
      broadcast(text)
      times.push(performance.now() - before)
    }
    return { times, seconds: (performance.now() - start) / 1000 }
  },
}

answer(operations)

server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
