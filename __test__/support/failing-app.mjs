// Apps in processes of their own whose code throws (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { opened } from './engine-clients.mjs'
import { readText, text } from './frames.mjs'
import { WEBSOCKET, upgrade } from './requests.mjs'
import { Peer } from './peer.mjs'

/** A TCP connection to an app; it is closed after the test. */
export async function peerOf(t, app, ...bytes) {
  const peer = await Peer.connect(app.port)
  t.after(() => peer.destroy())
  return peer.write(...bytes)
}

/** A test with an app in a process of its own. */
export function appTest(name, body) {
  test(name, { timeout: 30_000 }, body)
}

/**
 * An engine whose listeners throw where the options say so. It reports the errors that reach the
 * process.
 */
export async function engineProgram({ fails, handled = true, ...options }) {
  if (handled) process.on('uncaughtException', (error) => tell('uncaught', error.message))
  process.on('unhandledRejection', (error) => tell('unhandled', error.message))
  const server = createServer((_req, res) => res.end())
  const engine = new Engine({ pingInterval: 50, pingTimeout: 2000, ...options })
  engine.attach(server)
  const fail = (where) => {
    if (where === fails) throw new Error(`in ${where}`)
  }
  for (const name of ['headers', 'initial_headers', 'connection_error', 'flush', 'drain']) {
    engine.on(name, (...args) => {
      // A second request of the same client is served.
      const req = args.at(-1)?.req ?? args.at(-1)
      if (req?._query?.good === undefined) fail(`engine ${name}`)
    })
  }
  engine.on('connection', (socket) => {
    if (socket.request._query.good === undefined) fail('engine connection')
  })
  engine.on('connection', (socket) => {
    const bad = socket.request._query.good === undefined
    tell('session', socket.transport.name)
    for (const name of ['data', 'packet', 'heartbeat', 'upgrading', 'upgrade', 'close', 'drain']) {
      socket.on(name, (value) => {
        if (name === 'close') tell('close', value)
        if (name === 'data') tell('data', value)
        const where = name === 'data' ? `data ${value}` : name
        if (bad) fail(where)
      })
    }
    socket.on('data', (value) => {
      if (value === 'send') for (const each of ['a', 'b', 'c']) socket.send(each, () => sent(each))
      if (value === 'reject' && bad) Promise.reject(new Error('in a promise'))
    })
    const sent = (each) => {
      tell('sent', each)
      fail(`callback ${each}`)
    }
  })
  tell('port', await listen(server))
}

/** Checks that exactly these errors reached the process, in order. */
export async function assertUncaught(app, messages) {
  await app.report('uncaught', messages.length)
  assert.deepEqual(app.values('uncaught'), messages)
}

/** Opens a good client of an app, which asks a question and gets the answer. */
export async function assertServes(t, app) {
  const peer = await peerOf(t, app, upgrade(`${WEBSOCKET}&good=1`), text('4send'))
  await opened(peer)
  const got = []
  while (got.length < 3) {
    const packet = await readText(peer)
    if (packet !== '2') got.push(packet)
  }
  assert.deepEqual(got, ['4a', '4b', '4c'])
  peer.destroy()
}
