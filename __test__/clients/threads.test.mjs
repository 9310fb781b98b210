// Several I/O threads: sessions are spread over them, and nothing else changes. These tests have a
// file of their own because the first engine of a process sets the number of threads.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { TRANSPORTS, client } from '../support/clients.mjs'
import { event, gather, until } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'

const THREADS = 3
const CLIENTS = 8
const MESSAGES = 200

function threadNames() {
  const tasks = '/proc/self/task'
  return readdirSync(tasks).map((id) => readFileSync(`${tasks}/${id}/comm`, 'utf8').trim())
}

test(`${THREADS} I/O threads keep order, broadcasts and ends as with one`, async (t) => {
  const { io, url, engine } = await serve(t, { ioThreads: THREADS })
  io.on('connection', (socket) => socket.on('n', (n) => socket.emit('n', n)))
  if (process.platform === 'linux') {
    const ours = threadNames().filter((name) => name.startsWith('upwire-io-'))
    assert.deepEqual(ours.sort(), ['upwire-io-0', 'upwire-io-1', 'upwire-io-2'])
  }
  const clients = TRANSPORTS.flatMap(({ transports }) =>
    Array.from({ length: CLIENTS }, () => client(t, url, { transports })),
  )
  await Promise.all(clients.map((near) => event(near, 'connect')))
  const echoes = clients.map((near) => gather(near, 'n'))
  const news = clients.map((near) => gather(near, 'news'))
  for (let n = 0; n < MESSAGES; n++) {
    for (const near of clients) near.emit('n', n)
    io.emit('news', n)
  }
  const expected = Array.from({ length: MESSAGES }, (_, n) => [n])
  await until(
    () => [...echoes, ...news].every(({ length }) => length >= MESSAGES),
    'all messages',
    15_000,
  )
  for (const got of [...echoes, ...news]) assert.deepEqual(got, expected)
  const ends = clients.map((near) => event(near, 'disconnect'))
  io.disconnectSockets(true)
  await Promise.all(ends)
  await until(() => engine.clientsCount === 0, 'all sessions to end')
})
