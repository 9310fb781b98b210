// A cluster with @socket.io/sticky and the cluster adapter, also for clients that keep connections alive:
// sticky's prepended listener must reach the engine's responses.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { Agent } from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '../support/clients.mjs'
import { event, within } from '../support/events.mjs'

test('@socket.io/sticky with cluster and the cluster adapter', async (t) => {
  const program = fileURLToPath(new URL('sticky-server.mjs', import.meta.url))
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = event(child, 'exit')
  const [line] = await within(event(child.stdout, 'data'), 'the port', 30_000)
  const url = `http://127.0.0.1:${Number(line)}`
  const agent = new Agent({ keepAlive: true })
  const clients = []
  for (let round = 0; round < 3; round++) {
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      clients.push(await connect(t, url, { transports, agent }))
    }
  }
  const ask = (name, ...args) =>
    Promise.all(clients.map((each) => each.timeout(10_000).emitWithAck(name, ...args)))
  assert.equal(new Set(await ask('pid')).size, 3, 'clients on each worker')
  for (let n = 0; n < 5; n++) assert.deepEqual(new Set(await ask('echo', n)), new Set([n]))
  const all = Promise.all(clients.map((each) => event(each, 'all')))
  clients[0].emit('all', 7)
  assert.deepEqual(new Set((await all).flat()), new Set([7]))
  for (const each of clients) each.close()
  agent.destroy()
  child.stdin.end()
  await exit
})
