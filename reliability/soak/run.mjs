// The soak: thousands of connections that echo at a steady pace while some of them are replaced all
// the time. Run it with `npm run soak`; the addon must be built.
//
//   --minutes N      how long it runs (60)
//   --connections N  open at once (5000)
//   --rate N         messages per second, over all connections (5000)
//   --replaced N     connections replaced per second (100), many of them without a close frame
//   --size N         bytes of a message (64)
//   --threads N      ioThreads (1)
//   --slope N        MB per hour that resident memory may gain (32)
//
// The load client is the bench's, in a process of its own. It ends the run at the first message
// that is lost, doubled, swapped or changed, and at the first connection that the server closes.
// The slope is measured over the last nine tenths of runs of 30 minutes or more; a shorter run
// would measure how V8's heap grows.

import { setTimeout as sleep } from 'node:timers/promises'

import { ServerProcess } from '../../bench/harness/server-process.mjs'
import { build, ClientProcess } from '../../bench/harness/client-process.mjs'
import { describe, descriptorLimit } from '../../bench/harness/machine.mjs'
import { read } from '../harness/arguments.mjs'
import { slope } from './slope.mjs'

const STEP = 10
const JUDGED_FROM = 30
/**
 * How long a session may outlive a disconnect without a close frame; the server sees the end at
 * once.
 */
const SETTLING = 20
const MB = 1e6

const options = read({
  minutes: 60,
  connections: 5_000,
  rate: 5_000,
  replaced: 100,
  size: 64,
  threads: 1,
  slope: 32,
})
const needed = options.connections + 100
if (descriptorLimit() < needed) {
  console.error(`${needed} descriptors are needed, ulimit -Hn is ${descriptorLimit()}`)
  process.exit(2)
}

await build()
const { date, cores, cpu, memoryGiB, kernel, node, socketio } = describe()
console.log(`${date}  ${cores} × ${cpu}, ${memoryGiB} GiB, ${kernel}, Node ${node}`)
console.log(`socket.io ${socketio}; ${JSON.stringify(options)}`)

const server = await ServerProcess.start(new URL('server.mjs', import.meta.url), [
  JSON.stringify({ ioThreads: options.threads }),
])
const before = await server.ask('figures')
const { connections, rate, replaced, size } = options
const client = await ClientProcess.start('soak', {
  port: server.port,
  connections,
  size,
  rate,
  replaced,
})
const points = []
/** Memory without V8's heap, which grows and shrinks by tens of megabytes. */
const outside = []
const wrong = []
try {
  await load()
} catch (error) {
  wrong.push(error.message)
}
await client.end()
const after = await leftovers()
judge()
await server.end()
for (const complaint of wrong) console.log(`WRONG: ${complaint}`)
console.log(wrong.length === 0 ? 'soak: passed' : 'soak: FAILED')
process.exit(wrong.length === 0 ? 0 : 1)

/** Runs the load, and prints a line of figures every ten seconds. */
async function load() {
  client.go()
  const start = performance.now()
  let last = await client.mark()
  console.log(
    '   seconds sessions  RSS MB heap MB unsent undelivered descriptors  msgs/s  p99 ms  max ms loop p99 ms replaced',
  )
  for (let step = 1; step * STEP <= options.minutes * 60; step++) {
    await sleep(start + step * STEP * 1000 - performance.now())
    const seconds = (performance.now() - start) / 1000
    const mark = await client.mark()
    const figures = await server.ask('figures')
    const { rss, heapTotal } = figures
    points.push([seconds / 3600, rss / MB])
    outside.push([seconds / 3600, (rss - heapTotal) / MB])
    print(seconds, figures, mark, mark.count - last.count)
    last = mark
  }
  await client.stop()
}

function print(
  seconds,
  { rss, heapTotal, stats, descriptors, loop, disconnects },
  { samples },
  count,
) {
  const cells = [
    [seconds, 10],
    [stats.sessions, 8],
    [rss / MB, 7, 1],
    [heapTotal / MB, 7, 1],
    [stats.unsent, 6],
    [stats.undelivered, 11],
    [descriptors, 11],
    [count / STEP, 7],
    [samples.p99_us / 1000, 7, 2],
    [samples.max_us / 1000, 7, 1],
    [loop, 11, 2],
    [disconnects, 8],
  ]
  console.log(
    cells.map(([value, width, digits = 0]) => value.toFixed(digits).padStart(width)).join(' '),
  )
}

/** Checks what the server holds once all clients have left. */
async function leftovers() {
  for (let waited = 0; ; waited++) {
    const figures = await server.ask('figures')
    const { sessions } = figures.stats
    if ((sessions === 0 && figures.descriptors <= before.descriptors) || waited === SETTLING) {
      return figures
    }
    await sleep(1000)
  }
}

function judge() {
  const { stats, descriptors, connections: opened, disconnects, reasons } = after
  expect(stats.sessions === 0, `${stats.sessions} sessions are left`)
  expect(stats.unsent === 0, `${stats.unsent} bytes count as unsent`)
  expect(stats.undelivered === 0, `${stats.undelivered} bytes count as undelivered`)
  expect(stats.panics === 0, `${stats.panics} panics`)
  expect(stats.pendingHandshakes === 0, `${stats.pendingHandshakes} handshakes are pending`)
  expect(opened === disconnects, `${opened} connections, ${disconnects} disconnects`)
  expect(
    descriptors <= before.descriptors,
    `${descriptors} descriptors, ${before.descriptors} at the start`,
  )
  console.log(`${opened} connections, all ended: ${JSON.stringify(reasons)}`)
  console.log(`limits met: ${JSON.stringify(stats.limits)}; RSS at the end ${mb(after.rss)} MB`)
  if (options.minutes < JUDGED_FROM) return
  const first = Math.floor(points.length / 10)
  const gain = slope(points.slice(first))
  const native = slope(outside.slice(first))
  console.log(`Over the last nine tenths RSS gains ${gain.toFixed(1)} MB an hour,`)
  console.log(`without V8's heap ${native.toFixed(1)} MB an hour`)
  expect(gain < options.slope, `RSS grows by more than ${options.slope} MB an hour`)
}

function expect(holds, complaint) {
  if (!holds) wrong.push(complaint)
}

function mb(bytes) {
  return (bytes / MB).toFixed(1)
}
