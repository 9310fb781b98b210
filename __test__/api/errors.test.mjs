// The app's own errors: each surfaces once, as itself, and harms no other session
// (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TRANSPORTS, client, connect, engineClient, settled } from '../support/clients.mjs'
import { start } from '../support/child.mjs'
import { event, gather, until } from '../support/events.mjs'
import { fetchText, openPolling, upgrade } from '../support/http.mjs'
import { serve, serveEngine } from '../support/servers.mjs'

const programs = new URL('./programs.mjs', import.meta.url)

/** An engine in a process of its own, whose listeners throw on demand. */
async function survivor(t) {
  const child = start(t, programs, 'surviving')
  const port = await child.message('port')
  const url = `http://127.0.0.1:${port}`
  const fail = async (...places) => {
    child.send('fail', places)
    await child.message('set')
  }
  const report = async () => {
    child.send('report')
    return child.message('report')
  }
  return { child, url, fail, report }
}

async function openClient(t, url, { transports, settles }) {
  const near = engineClient(t, url, { transports })
  await event(near, 'open')
  await settled(near, settles)
  return near
}

const thrown = (place) => [`thrown in ${place}`, true]

describe('errors in listeners', () => {
  for (const kind of TRANSPORTS) {
    const name = JSON.stringify(kind.transports)

    test(`over ${name}: each surfaces once, and the rest of the batch is delivered in order`, async (t) => {
      const { url, report } = await survivor(t)
      const near = await openClient(t, url, kind)
      const other = await openClient(t, url, kind)
      const expected = []
      for (let n = 0; n < 30; n++) {
        const word = n % 10 === 5 ? 'throw' : String(n)
        near.send(word)
        expected.push(word)
        other.send(`other ${n}`)
      }
      near.send('reject')
      near.send('end')
      expected.push('reject', 'end')
      const all = { caught: [], rejected: [] }
      const { seen, clients } = await until(async () => {
        const now = await report()
        all.caught.push(...now.caught)
        all.rejected.push(...now.rejected)
        const isAll =
          now.seen[near.id]?.length >= expected.length && now.seen[other.id]?.length >= 30
        return isAll && all.rejected.length > 0 ? now : undefined
      }, 'all messages')
      assert.deepEqual(seen[near.id], expected)
      assert.deepEqual(
        seen[other.id],
        Array.from({ length: 30 }, (_, n) => `other ${n}`),
      )
      assert.deepEqual(all.caught, Array(3).fill(thrown('data')))
      assert.deepEqual(all.rejected, ['rejected in data'])
      assert.equal(clients, 2)
    })

    test(`over ${name}: in other events of a socket each surfaces once`, async (t) => {
      const { url, fail, report } = await survivor(t)
      const places = [
        'socket packet',
        'socket packetCreate',
        'socket heartbeat',
        'callback',
        'socket flush',
        'socket drain',
        'flush',
        'drain',
      ]
      await fail('socket upgrading', 'socket upgrade', ...places)
      const near = await openClient(t, url, kind)
      const got = gather(near, 'data')
      const expected =
        kind.transports[0] === 'polling' && kind.settles === 'websocket'
          ? ['socket upgrading', 'socket upgrade', ...places]
          : places
      const caught = []
      let sent = 0
      await until(async () => {
        near.send('reply')
        sent++
        caught.push(...(await report()).caught)
        return caught.length >= expected.length && got.length > 0
      }, `all errors (${expected})`).catch((error) => {
        error.message += `: ${JSON.stringify(caught)}`
        throw error
      })
      assert.deepEqual(caught.sort(), expected.map(thrown).sort())
      // A message whose own `packet` listener threw goes no further, as with any emitter.
      await until(
        async () => (await report()).seen[near.id].length >= sent - 1,
        'all other messages',
      )
      assert.equal(near.readyState, 'open')
    })

    test(`over ${name}: in close they surface once`, async (t) => {
      const { url, fail, report } = await survivor(t)
      await fail('socket close')
      const near = await openClient(t, url, kind)
      const other = await openClient(t, url, kind)
      near.close()
      const { caught } = await until(async () => {
        const now = await report()
        return now.clients === 1 ? now : undefined
      }, 'the close')
      const later = caught.length > 0 ? caught : (await report()).caught
      assert.deepEqual(later, [thrown('socket close')])
      assert.equal(other.readyState, 'open')
    })

    test(`over ${name}: in the engine’s connection listener they end that session only`, async (t) => {
      const { url, fail, report } = await survivor(t)
      const good = await openClient(t, url, kind)
      await fail('connection')
      const bad = engineClient(t, url, { transports: kind.transports })
      await event(bad, 'close')
      // Each report has what was caught since the one before.
      const caught = []
      await until(async () => {
        const now = await report()
        caught.push(...now.caught)
        return now.clients === 1
      }, 'the session to end')
      assert.deepEqual(caught, [thrown('connection')])
      assert.equal(good.readyState, 'open')
      await openClient(t, url, kind)
    })
  }

  test('do not cost other polling clients any messages', async (t) => {
    const { url, report } = await survivor(t)
    const count = 30
    for (let round = 0; round < 100; round++) {
      const noisy = await openClient(t, url, TRANSPORTS[0])
      const quiet = await openClient(t, url, TRANSPORTS[0])
      for (let n = 0; n < count; n++) {
        noisy.send(n % 10 === 5 ? 'throw' : String(n))
        quiet.send(String(n))
      }
      await until(async () => {
        const { seen } = await report()
        return seen[noisy.id].length === count && seen[quiet.id].length === count
      }, `round ${round}: all messages`)
      noisy.close()
      quiet.close()
    }
  })

  test('in headers and initial_headers cause 500 and no session', async (t) => {
    const { url, fail, report } = await survivor(t)
    const target = `${url}/engine.io/?EIO=4&transport=polling`
    for (const name of ['headers', 'initial_headers']) {
      await fail(name)
      assert.equal((await fetchText(target)).status, 500, `${name} on polling`)
      await fail(name)
      assert.equal(
        (await upgrade(url, { path: '/engine.io/?EIO=4&transport=websocket' })).status,
        500,
        `${name} on WebSocket`,
      )
      const { caught, clients } = await until(async () => {
        const now = await report()
        return now.clients === 0 ? now : undefined
      }, `${name}: no session`)
      assert.deepEqual(caught, [thrown(name), thrown(name)])
      assert.equal(clients, 0)
      const { sid } = await openPolling(url, '/engine.io/')
      assert.equal(
        (await fetchText(`${target}&sid=${sid}`, { method: 'POST', body: '1' })).status,
        200,
      )
    }
  })

  test('in connection_error surface after the refusal is answered', async (t) => {
    const { url, fail, report } = await survivor(t)
    await fail('connection_error')
    const { status, text } = await fetchText(`${url}/engine.io/?EIO=4&transport=pigeon`)
    assert.deepEqual([status, JSON.parse(text).code], [400, 0])
    await fail('connection_error')
    assert.equal((await upgrade(url, { path: '/engine.io/?EIO=4&transport=pigeon' })).status, 400)
    assert.deepEqual((await report()).caught, [
      thrown('connection_error'),
      thrown('connection_error'),
    ])
  })

  for (const where of [
    'engine connection',
    'connection',
    'message',
    'acknowledgement',
    'disconnect',
  ]) {
    test(`in ${where} without a handler end Node with code 1`, async (t) => {
      const child = start(t, programs, 'throwing', { where })
      const near = client(t, `http://127.0.0.1:${await child.message('port')}`, {
        transports: ['websocket'],
      })
      near.on('ask', (ack) => ack())
      near.on('connect', () => {
        near.emit('go')
        if (where === 'disconnect') near.disconnect()
      })
      assert.deepEqual(await child.end(), { code: 1, signal: null })
      assert.match(child.stderr, new RegExp(`Error: thrown in ${where}`))
      assert.equal(child.stderr.match(/Error: thrown/g).length, 1)
      assert.match(child.stderr, /programs\.mjs/, 'with its own stack')
    })
  }
})

describe('invalid calls and failing callbacks', () => {
  test('emit of a value that cannot be encoded throws to the caller, and no part of it is sent', async (t) => {
    const { io, url } = await serve(t)
    const arrival = event(io, 'connection')
    const near = await connect(t, url, { transports: ['websocket'] })
    const [far] = await arrival
    const got = gather(near, 'ev')
    const circular = {}
    circular.self = circular
    assert.throws(() => far.emit('ev', circular))
    assert.throws(() => far.emit('ev', 10n))
    assert.throws(() => io.emit('ev', Buffer.from('attachment'), 10n))
    assert.throws(() => far.emit('connect'), /reserved/)
    far.emit('ev', 'whole')
    await until(() => got.length === 1, 'the whole message')
    assert.deepEqual(got, [['whole']])
  })

  test('a send callback that throws does so once, and the next is called', async (t) => {
    const { url, fail, report } = await survivor(t)
    await fail('callback')
    const near = await openClient(t, url, TRANSPORTS[1])
    const got = gather(near, 'data')
    near.send('reply')
    near.send('reply')
    await until(() => got.length === 2, 'both replies')
    const caught = await until(async () => {
      const now = await report()
      return now.caught.length > 0 ? now.caught : undefined
    }, 'the error')
    assert.deepEqual(caught, [thrown('callback')])
  })

  test('an allowRequest error without a connection_error listener warns once and is not fatal', async (t) => {
    const warned = gather(process, 'warning')
    const served = await serveEngine(t, {
      allowRequest: () => {
        throw new Error('bad token')
      },
    })
    for (let n = 0; n < 3; n++) {
      const { status, text } = await fetchText(`${served.url}/engine.io/?EIO=4&transport=polling`)
      assert.equal(status, 403)
      assert.deepEqual(JSON.parse(text), { code: 4, message: 'Forbidden' })
    }
    assert.equal(
      (await upgrade(served.url, { path: '/engine.io/?EIO=4&transport=websocket' })).status,
      403,
    )
    await until(() => warned.some(([{ code }]) => code === 'UPWIRE_ALLOW_REQUEST'), 'a warning')
    assert.equal(warned.filter(([{ code }]) => code === 'UPWIRE_ALLOW_REQUEST').length, 1)
  })
})
