// worker_threads: each has an environment of its own, which may end at any time.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connect } from '../support/clients.mjs'
import { start } from '../support/child.mjs'
import { event, gather, until } from '../support/events.mjs'

const programs = new URL('./programs.mjs', import.meta.url)

describe('a worker', () => {
  async function program(t) {
    const child = start(t, programs, 'workers')
    const main = `http://127.0.0.1:${await child.message('port')}`
    const worker = async () => {
      child.send('start')
      const { number, port } = await child.message('started')
      return { number, url: `http://127.0.0.1:${port}` }
    }
    const descriptors = async () => {
      child.send('descriptors')
      return child.message('descriptors')
    }
    return { child, main, worker, descriptors }
  }

  test('serves beside the main environment and closes by itself', async (t) => {
    const { child, main, worker } = await program(t)
    const { number, url } = await worker()
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      const nearWorker = await connect(t, url, { transports })
      const nearMain = await connect(t, main, { transports })
      assert.equal(await nearWorker.timeout(5000).emitWithAck('echo', 'w'), 'w')
      assert.equal(await nearMain.timeout(5000).emitWithAck('echo', 'm'), 'm')
      t.after(() => nearMain.close())
    }
    child.send('end', number)
    assert.equal(await child.message('ended'), 0)
    const nearMain = await connect(t, main, { transports: ['websocket'] })
    assert.equal(await nearMain.timeout(5000).emitWithAck('echo', 'still'), 'still')
    child.send('quit')
    assert.deepEqual(await child.end(), { code: 0, signal: null })
    assert.equal(child.stderr, '')
  })

  for (const busy of ['idle', 'flooding', 'spinning', 'flooded']) {
    test(`terminated while ${busy} frees its descriptors; others go on, and a new one can attach`, async (t) => {
      const { child, main, worker, descriptors } = await program(t)
      const nearMain = await connect(t, main, { transports: ['websocket'] })
      let before
      for (let round = 0; round < 3; round++) {
        const { number, url } = await worker()
        const clients = []
        for (let n = 0; n < 6; n++)
          clients.push(
            await connect(t, url, { transports: [n % 3 === 0 ? 'polling' : 'websocket'] }),
          )
        const gone = clients.map((near) => event(near, 'disconnect'))
        if (busy === 'flooding') {
          const got = gather(clients[1], 'data')
          for (const near of clients) near.emit('flood')
          await until(() => got.length > 50, 'the flood')
        }
        if (busy === 'spinning') {
          clients[1].emit('spin')
          const waits = clients[2].timeout(200).emitWithAck('echo', 1)
          await assert.rejects(waits, /timed out/)
        }
        let flooding
        if (busy === 'flooded') {
          flooding = setInterval(() => {
            for (const near of clients)
              for (let n = 0; n < 50; n++) near.emit('echo', 'x'.repeat(500), () => {})
          }, 1)
          await clients[1].timeout(5000).emitWithAck('echo', 1)
        }
        child.send('terminate', number)
        const { code, ms } = await child.message('terminated')
        clearInterval(flooding)
        assert.equal(code, 1)
        assert.ok(ms < 1000, `terminated after ${ms} ms`)
        await Promise.all(gone)
        for (const near of clients) near.close()
        assert.equal(await nearMain.timeout(5000).emitWithAck('echo', round), round)
        const now = await until(async () => {
          const count = await descriptors()
          return before === undefined || count <= before ? count : undefined
        }, 'its descriptors to be freed')
        before ??= now
        assert.equal(now, before)
      }
      nearMain.close()
      child.send('quit')
      assert.deepEqual(await child.end(), { code: 0, signal: null })
      assert.equal(child.stderr, '')
    })
  }
})
