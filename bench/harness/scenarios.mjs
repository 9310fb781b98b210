// The loads. Each takes one sample and returns figures; rows.mjs says which figure belongs to which
// row. `pages`: how often /page is fetched meanwhile. `pinned`: the server on one core, the clients
// on another.

import { setTimeout as sleep } from 'node:timers/promises'

import { median } from './statistics.mjs'

const CONNECTIONS = 100
const SIZE = 64

/** Just under the default maxHttpBufferSize of 1,000,000 bytes. */
const LARGE = 999_936

/**
 * Broadcasts per second in the GET rows, the same for both peers: about as many as stock can just
 * sustain. More would measure the length of stock's queue, which grows with the window.
 */
export const FANOUT_RATE = { 1000: 75, 10000: 5 }

const PACE = 20_000

/** Outstanding broadcasts in the CPU rows of fan-out. */
const OVERLAPPING = 4

/**
 * V8 needs this much longer to optimize code that runs once per connection than code that runs once
 * per message.
 */
const STORM_WARM_UPS = 3

const closedLoop = (outstanding) => ({
  load: ['echo', { connections: CONNECTIONS, size: SIZE, outstanding }],
  counter: 'echoes',
})

const paced = {
  load: ['paced', { connections: CONNECTIONS, size: SIZE, rate: PACE }],
  counter: 'echoes',
}

/** A load that runs by itself: warm up, measure for some seconds, stop. */
function steady({ load: [name, options], counter, receivers = 1 }) {
  return async (sample) => {
    const client = await sample.client(name, options)
    await sample.warmUp(client)
    const wait = () => sleep(sample.timing.seconds * 1000)
    const figures = await sample.window(client, { counter, receivers }, wait)
    await sample.finish(client, { counter, receivers })
    return figures
  }
}

/** Some broadcasts are always outstanding: the server has no pause, as in the echo rows. */
const fanout = (connections) =>
  steady({
    load: ['fanout', { connections, size: SIZE, outstanding: OVERLAPPING }],
    counter: 'broadcasts',
    receivers: connections,
  })

/** Paced broadcasts; the window ends when the last one has arrived everywhere. */
function pacedFanout(connections, rate = FANOUT_RATE[connections]) {
  return async (sample) => {
    const client = await sample.client('fanout', { connections, size: SIZE, outstanding: 0 })
    let expected = 0
    const broadcast = async (count) => {
      expected += count * connections
      const limit = 30 + (count / rate) * 10
      const told = await sample.server.ask('broadcast', { count, rate }, limit)
      await client.until(expected, limit)
      return told
    }
    await sample.warmUp(client)
    await broadcast(Math.max(3, Math.round(rate * sample.timing.warmUp)))
    const counted = { counter: 'broadcasts', receivers: connections }
    const figures = await sample.window(client, counted, async () => {
      // With only a few broadcasts per second, the window must be longer to be meaningful.
      const seconds = sample.timing.seconds * (rate < 10 ? 2 : 1)
      const count = Math.max(8, Math.round(rate * seconds))
      const told = await broadcast(count)
      return { emitMs: median(told.times), rate: count / told.seconds }
    })
    await sample.finish(client, counted)
    return figures
  }
}

/**
 * The resident memory of idle connections, above a base of connections that has warmed everything
 * up.
 */
async function idle(sample) {
  const { base, more } = sample.timing.idle
  await sample.client('fanout', { connections: base, size: SIZE, outstanding: 0 })
  const before = await sample.server.ask('memory')
  await sample.client('fanout', { connections: more, size: SIZE, outstanding: 0 })
  const after = await sample.server.ask('memory')
  return { kib: (after.rss - before.rss) / 1024 / more }
}

/**
 * From `2probe` to `5`, as engine.io-client counts an upgrade; few at a time, so that nothing
 * queues.
 */
async function probe(sample) {
  const client = await sample.client('upgrade', { 'in-flight': 4, settled: 1 })
  await sample.warmUp(client)
  await client.mark()
  await sleep(sample.timing.seconds * 1000)
  const { samples } = await client.stop()
  return { upgradeMs: samples.p50_us / 1000, upgradeP99Ms: samples.p99_us / 1000 }
}

const storm = (load) => ({ load, counter: 'disconnects' })

export const scenarios = {
  'echo-8': { pinned: true, pages: 'light', run: steady(closedLoop(8)) },
  'echo-1': { pinned: true, pages: 'light', run: steady(closedLoop(1)) },
  'echo-paced': { pinned: true, pages: 'light', run: steady(paced) },
  'fanout-1000': { pinned: true, pages: 'light', run: fanout(1_000) },
  'fanout-10000': { pinned: true, pages: 'light', descriptors: 10_200, run: fanout(10_000) },
  'get-echo': { pages: 'dense', run: steady(closedLoop(8)) },
  'broadcast-js': { run: pacedFanout(1_000, 20) },
  'get-fanout-1000': { pages: 'dense', run: pacedFanout(1_000) },
  'get-fanout-10000': { pages: 'dense', descriptors: 10_200, run: pacedFanout(10_000) },
  'storm-websocket': {
    pinned: true,
    pages: 'light',
    warmUps: STORM_WARM_UPS,
    run: steady(storm(['storm', { 'in-flight': 50 }])),
  },
  'storm-upgrade': {
    pinned: true,
    pages: 'light',
    warmUps: STORM_WARM_UPS,
    run: steady(storm(['upgrade', { 'in-flight': 100, settled: 0 }])),
  },
  polling: {
    pinned: true,
    pages: 'light',
    run: steady({ load: ['polling', { connections: CONNECTIONS, size: SIZE }], counter: 'echoes' }),
  },
  binary: {
    pinned: true,
    pages: 'light',
    run: steady({ load: ['binary', { connections: 8, size: LARGE }], counter: 'echoes' }),
  },
  idle: { descriptors: 6_200, run: idle },
  probe: { run: probe },
}
