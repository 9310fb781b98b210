// Messages under way while a session moves from polling to WebSocket: none is lost, doubled or
// reordered, in either direction. UPWIRE_UPGRADES sets the number of upgrades.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { engineClient, enginePair } from '../support/clients.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { upgrade as upgradeRequest } from '../support/http.mjs'
import { proxy } from '../support/proxy.mjs'
import { serveEngine } from '../support/servers.mjs'
import { WebSocket } from '../support/websocket.mjs'

const UPGRADES = Number(process.env.UPWIRE_UPGRADES ?? 200)
const AT_ONCE = 20
/** Messages that follow once both ends have upgraded. */
const AFTER = 10
const BINARY_EACH = 5

/** Stages of an upgrade as one end sees it. */
const BEFORE = 'before the probe'
const PROBING = 'between probe and swap'
const DONE = 'after the swap'

/** A repeatable source of random numbers. */
function dice(seed) {
  let state = seed
  return (limit) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    return ((state >> 8) * limit) / 0x7fffff
  }
}

function numbered(n) {
  return n % BINARY_EACH === 0 ? Buffer.from(`bin ${n}`) : `txt ${n}`
}

function number(data) {
  const [kind, n] = String(data).split(' ')
  assert.equal(kind, Number(n) % BINARY_EACH === 0 ? 'bin' : 'txt')
  assert.equal(Buffer.isBuffer(data), kind === 'bin')
  return Number(n)
}

/** Sends numbered messages with random pauses until stopped; returns how many. */
function talk(end, roll, stage, stages) {
  let count = 0
  let isOver = false
  const said = (async () => {
    while (!isOver) {
      // Sometimes several in one tick, sometimes none for a while.
      for (let burst = Math.floor(roll(4)); burst > 0; burst--) {
        stages[stage()]++
        end.send(numbered(count++))
      }
      await new Promise((resolve) => setTimeout(resolve, roll(5)))
    }
    for (let n = 0; n < AFTER; n++) end.send(numbered(count++))
    return count
  })()
  return () => {
    isOver = true
    return said
  }
}

function counter() {
  return { [BEFORE]: 0, [PROBING]: 0, [DONE]: 0 }
}

/** One client that upgrades while both ends send all the time. */
async function upgradeOnce(t, { engine }, url, roll, stages) {
  const near = engineClient(t, url, { transports: ['polling', 'websocket'] })
  const fromServer = []
  let nearStage = BEFORE
  near.on('data', (data) => {
    stages.received.near[nearStage]++
    fromServer.push(number(data))
  })
  near.once('upgrading', () => {
    nearStage = PROBING
  })
  near.once('upgrade', () => {
    nearStage = DONE
  })
  const far = await until(() => engine.clients[near.id], 'a session', 10_000)
  const fromClient = []
  let farStage = far.upgraded ? DONE : far.upgrading ? PROBING : BEFORE
  far.on('data', (data) => {
    stages.received.far[farStage]++
    fromClient.push(number(data))
  })
  far.once('upgrading', () => {
    farStage = PROBING
  })
  far.once('upgrade', () => {
    farStage = DONE
  })
  const closes = gather(far, 'close')
  const nearCloses = gather(near, 'close')
  const stopNear = talk(near, roll, () => nearStage, stages.sent.near)
  const stopFar = talk(far, roll, () => farStage, stages.sent.far)
  await until(
    () => (nearStage === DONE && farStage === DONE) || closes.length > 0 || nearCloses.length > 0,
    'both ends to upgrade',
    20_000,
  )
  assert.deepEqual([closes, nearCloses], [[], []], 'neither end is closed')
  const [nearCount, farCount] = [await stopNear(), await stopFar()]
  await until(
    () => fromServer.length >= farCount && fromClient.length >= nearCount,
    'all messages',
    20_000,
  ).catch((error) => {
    error.message += `: ${fromServer.length} of ${farCount} from the server, ${fromClient.length} of ${nearCount} from the client`
    throw error
  })
  const inOrder = (count) => Array.from({ length: count }, (_, n) => n)
  assert.deepEqual(fromServer, inOrder(farCount), 'from the server: each once, in order')
  assert.deepEqual(fromClient, inOrder(nearCount), 'from the client: each once, in order')
  near.close()
}

describe('upgrades', () => {
  test(`${UPGRADES} upgrades through a proxy that delays either connection lose nothing`, {
    timeout: 600_000,
  }, async (t) => {
    const served = await serveEngine(t, { upgradeTimeout: 20_000 })
    const roll = dice(20_251)
    // Each direction of each connection has its own base delay with jitter around it, so that
    // either polling or the WebSocket can be the slower one.
    const { url } = await proxy(t, served.port, () => {
      const direction = () => {
        const base = roll(3) < 1 ? 0 : roll(15)
        return () => base + roll(4)
      }
      return { up: direction(), down: direction() }
    })
    const stages = {
      sent: { near: counter(), far: counter() },
      received: { near: counter(), far: counter() },
    }
    let left = UPGRADES
    const worker = async () => {
      while (left-- > 0) await upgradeOnce(t, served, url, roll, stages)
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, UPGRADES) }, worker))
    t.diagnostic(JSON.stringify(stages))
    // The test is meaningful only if messages were under way in each stage, in both directions.
    for (const stage of [BEFORE, PROBING, DONE]) {
      assert.ok(stages.sent.far[stage] > 0, `the server sent ${stage}`)
      assert.ok(stages.received.near[stage] > 0, `the client received ${stage}`)
      assert.ok(stages.sent.near[stage] > 0, `the client sent ${stage}`)
      assert.ok(stages.received.far[stage] > 0, `the server received ${stage}`)
    }
    await until(() => served.engine.clientsCount === 0, 'no clients', 10_000)
  })

  test('the time from probe to upgrade is at most 25 ms at the median', async (t) => {
    const served = await serveEngine(t)
    const times = []
    for (let n = 0; n < 31; n++) {
      const arrival = event(served.engine, 'connection')
      const near = engineClient(t, served.url, { transports: ['polling', 'websocket'] })
      const [far] = await arrival
      let start
      far.once('upgrading', () => {
        start = performance.now()
      })
      await event(far, 'upgrade')
      times.push(performance.now() - start)
      near.close()
    }
    times.sort((left, right) => left - right)
    t.diagnostic(`median ${times[15].toFixed(2)} ms, worst ${times[30].toFixed(2)} ms`)
    assert.ok(times[15] <= 25, `median of ${times[15]} ms`)
  })

  test('the median is as low while GETs are parked and messages flow', async (t) => {
    const served = await serveEngine(t)
    const times = []
    for (let n = 0; n < 15; n++) {
      const arrival = event(served.engine, 'connection')
      const near = engineClient(t, served.url, { transports: ['polling', 'websocket'] })
      const [far] = await arrival
      let start
      far.once('upgrading', () => {
        start = performance.now()
      })
      const upgraded = event(far, 'upgrade')
      const talking = setInterval(() => {
        far.send('x')
        near.send('y')
      }, 2)
      await upgraded.finally(() => clearInterval(talking))
      times.push(performance.now() - start)
      near.close()
    }
    times.sort((left, right) => left - right)
    assert.ok(times[7] <= 25, `median of ${times[7]} ms`)
  })

  test('a failed probe leaves polling working, and a later one succeeds', async (t) => {
    const served = await serveEngine(t, { upgradeTimeout: 80, closeTimeout: 100 })
    const { near, far } = await enginePair(t, served, { transports: ['polling'] })
    const got = gather(far, 'data')
    const upgrades = gather(far, 'upgrade')
    const path = `/engine.io/?EIO=4&transport=websocket&sid=${far.id}`
    const failures = {
      'silence before the probe': () => {},
      'silence after the probe': (socket) => socket.send('2probe'),
      'a message first': (socket) => socket.send('4not for the app'),
      'binary first': (socket) => socket.send(Buffer.from('not for the app')),
      'a close packet first': (socket) => socket.send('1'),
      'a message after the probe': (socket) => {
        socket.send('2probe')
        socket.send('4not for the app')
      },
      'a close frame': (socket) => socket.close(),
      'an end': (socket) => socket.stream.end(),
      'a reset': (socket) => socket.stream.resetAndDestroy(),
      'a reset after the probe': async (socket) => {
        socket.send('2probe')
        await socket.message()
        socket.stream.resetAndDestroy()
      },
    }
    let count = 0
    for (const [name, fail] of Object.entries(failures)) {
      const socket = await WebSocket.open(t, served.port, { path })
      await fail(socket)
      await within(socket.ended, `${name}: the probe to be closed`)
      await until(() => !far.upgrading, `${name}: the upgrade to end`)
      near.send(`after ${name}`)
      count++
      await until(() => got.length === count, `${name}: a message over polling`)
      assert.equal(got.at(-1)[0], `after ${name}`)
    }
    assert.equal(far.transport.name, 'polling')
    assert.equal(upgrades.length, 0)
    const last = await WebSocket.open(t, served.port, { path })
    last.send('2probe')
    assert.equal((await last.message()).text, '3probe')
    last.send('5')
    await until(() => upgrades.length === 1, 'the upgrade')
    far.send('over WebSocket')
    assert.equal((await last.message()).text, '4over WebSocket')
    last.close()
    await until(() => served.engine.clientsCount === 0, 'no clients')
  })

  test('a second WebSocket for a session is refused, and the first stays', async (t) => {
    const served = await serveEngine(t)
    const errors = gather(served.engine, 'connection_error')
    const { far } = await enginePair(t, served, { transports: ['polling'] })
    const path = `/engine.io/?EIO=4&transport=websocket&sid=${far.id}`
    const first = await WebSocket.open(t, served.port, { path })
    assert.equal((await upgradeRequest(served.url, { path })).status, 400)
    first.send('2probe')
    assert.equal((await first.message()).text, '3probe')
    assert.equal((await upgradeRequest(served.url, { path })).status, 400)
    const upgraded = event(far, 'upgrade')
    first.send('5')
    await upgraded
    assert.equal((await upgradeRequest(served.url, { path })).status, 400)
    // The polling client knows nothing about this and may be refused as well.
    const refused = errors
      .map(([error]) => error)
      .filter(({ req }) => req._query.transport === 'websocket')
    assert.deepEqual(
      refused.map(({ code, context }) => [code, context.name]),
      Array(3).fill([3, 'TRANSPORT_MISMATCH']),
    )
    far.send('still the first')
    assert.equal((await first.message()).text, '4still the first')
    first.close()
  })
})
