// What each stack must do: Socket.IO over every order of transports, beside the app's own routes.

import assert from 'node:assert/strict'
import { works as connects } from '../support/clients.mjs'
import { fetchText } from '../support/http.mjs'

/** Connects with each order of transports, has a message echoed, and requests a page of the app. */
export async function works(t, io, url, { page = 'page', ...opts } = {}) {
  await connects(t, io, url, opts)
  if (page !== undefined) assert.equal((await fetchText(`${url}/page`)).text, page)
}
