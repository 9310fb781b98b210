// What each stack must do: Socket.IO over every order of transports, beside the app's own routes.

import assert from 'node:assert/strict'
import { TRANSPORTS, pair, settled } from '../support/clients.mjs'
import { fetchText } from '../support/http.mjs'

/** Connects with each order of transports, has a message echoed, and requests a page of the app. */
export async function works(t, io, url, { page = 'page', ...opts } = {}) {
  for (const { transports, settles } of TRANSPORTS) {
    const { near, far } = await pair(t, { io, url }, { transports, ...opts })
    await settled(near, settles)
    far.on('echo', (value, ack) => ack(value))
    assert.equal(await near.timeout(5000).emitWithAck('echo', 'x'), 'x')
    near.close()
  }
  if (page !== undefined) assert.equal((await fetchText(`${url}/page`)).text, page)
}
