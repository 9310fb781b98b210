// Proof that the server still serves: the official client, on each transport and across the upgrade.

import assert from 'node:assert/strict'
import { Socket } from 'engine.io-client'
import { event, until } from './events.mjs'

/** The good client's question, and the answer of a {@link import('./world.mjs').World}. */
export const QUESTION = 'good?'
export const ANSWER = 'good!'

/** Exchanges messages over polling, upgrades if possible, exchanges messages again, and leaves. */
export async function proveGoodClient(port, { transports, query, headers } = {}) {
  const client = new Socket(`http://127.0.0.1:${port}`, {
    transports,
    query,
    extraHeaders: headers,
  })
  const errors = []
  client.on('error', (error) => errors.push(error))
  try {
    await until(() => client.readyState === 'open' || errors.length > 0, 'a good client to open')
    assert.deepEqual(errors, [], 'a good client is not refused')
    await ask(client)
    if (transports.length > 1) {
      await until(() => client.transport.name === 'websocket' && !client.upgrading, 'an upgrade')
      await ask(client)
    }
    assert.deepEqual(errors, [], 'a good client meets no error')
  } finally {
    client.close()
  }
}

async function ask(client) {
  const answer = event(client, 'message')
  client.send(QUESTION)
  assert.deepEqual(await answer, [ANSWER])
}
