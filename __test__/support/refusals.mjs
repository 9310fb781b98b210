// Checks of refused requests.

import assert from 'node:assert/strict'
import { response } from './requests.mjs'

/** Checks that an upgrade is refused before the 101, with a short and final plain HTTP answer. */
export async function assertUpgradeRefused(peer, status, body) {
  const answer = await response(peer)
  assert.equal(answer.status, status, `${answer.line} ${answer.text}`)
  assert.equal(answer.headers.connection, 'close')
  assert.equal(answer.headers['content-type'], 'text/html')
  assert.equal(Number(answer.headers['content-length']), answer.body.length)
  if (body !== undefined) assert.equal(answer.text, body)
  assert.equal((await peer.rest()).length, 0, 'nothing follows a refusal')
  assert.equal(peer.ended, 'fin')
  return answer
}

/** Checks that a polling request is refused with a code. */
export async function assertRefused(peer, status, code, message) {
  const answer = await response(peer)
  assert.equal(answer.status, status, `${answer.line} ${answer.text}`)
  assert.match(answer.headers['content-type'], /^application\/json/)
  assert.equal(answer.text, JSON.stringify({ code, message }))
  return answer
}
