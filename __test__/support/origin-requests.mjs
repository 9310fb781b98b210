// Requests of every kind with the headers that decide about their origin, and the checks of their
// answers.

import assert from 'node:assert/strict'
import { accepted, openPolling, opened } from './engine-clients.mjs'
import { POLLING, UPGRADE, WEBSOCKET, post, request, response } from './requests.mjs'

export const HOST = 'app.example:8080'
export const OWN = `http://${HOST}`
export const EVIL = 'https://evil.example'

/** A WebSocket request with the required headers and those given, and no others. */
export const upgrade = (target, headers) => request(`GET ${target}`, { ...UPGRADE, ...headers })

/** The headers of a handshake after which the sid says nothing for pages of other origins. */
export const OPENING = { Referer: 'http://page.example/chat' }

/** A polling session with a queued message, so that a GET is answered at once. */
async function openFull(world) {
  const client = await openPolling(world, '', OPENING)
  client.session.socket.send('waiting')
  return client
}

/** Each kind of request: how it is made, and how it is answered when accepted. */
export const KINDS = {
  'polling handshake': {
    ask: (headers) => request(`GET ${POLLING}`, headers),
    taken: (peer) => assertOk(peer, /^0\{/),
  },
  'GET of a session': {
    open: openFull,
    ask: (headers, client) => request(`GET ${client.target}`, headers),
    taken: (peer) => assertOk(peer, /^4waiting$/),
  },
  'POST of a session': {
    open: openFull,
    ask: (headers, client) => post(client.target, '4hello', headers),
    taken: (peer) => assertOk(peer, /^ok$/),
  },
  'WebSocket handshake': {
    isUpgrade: true,
    ask: (headers) => upgrade(WEBSOCKET, headers),
    taken: opened,
  },
  'WebSocket of a session': {
    isUpgrade: true,
    open: openFull,
    ask: (headers, client) => upgrade(`${WEBSOCKET}&sid=${client.sid}`, headers),
    taken: accepted,
  },
}
export const [POLL, , , WS, PROBE] = Object.values(KINDS)

async function assertOk(peer, body) {
  const answer = await response(peer)
  assert.equal(answer.status, 200, answer.text)
  assert.match(answer.text, body)
}

/** Sends a request of a kind; returns the peer, whose answer is still to come. */
export async function ask(world, { open, ask: bytes }, headers) {
  const client = await open?.(world)
  return { client, peer: await world.peer(bytes({ Host: HOST, ...headers }, client)) }
}

export async function assertTaken(world, kind, headers) {
  const { peer } = await ask(world, kind, headers)
  await kind.taken(peer).catch((error) => {
    error.message += ` for ${JSON.stringify(headers)}`
    throw error
  })
  if (kind.open === undefined) await world.session()
  peer.destroy()
}

/** Checks the answer to a refused request byte by byte, and the event that the app receives. */
export async function assertRefused(world, kind, headers, refusal = {}) {
  const { client, peer } = await ask(world, kind, headers)
  const { name = 'ORIGIN_NOT_ALLOWED', message = 'Origin not allowed', origin, ...more } = refusal
  const answer = await response(peer)
  assert.equal(answer.status, 403, `${answer.line} ${answer.text} for ${JSON.stringify(headers)}`)
  assert.equal(answer.headers.connection, 'close')
  const body = kind.isUpgrade ? message : `{"code":4,"message":"${message}"}`
  assert.equal(answer.text, body)
  assert.equal(answer.headers['content-type'], kind.isUpgrade ? 'text/html' : 'application/json')
  assert.equal((await peer.rest()).length, 0)
  const { code, message: text, context } = await world.refusal()
  assert.deepEqual([code, text], [4, 'Forbidden'])
  const given =
    origin ?? (Array.isArray(headers.Origin) ? headers.Origin.join(', ') : headers.Origin)
  assert.deepEqual(context, { name, message, origin: given, host: headers.Host ?? HOST, ...more })
  await assertUnharmed(client)
}

/** Checks that a session still works after one of its requests was refused. */
export async function assertUnharmed(client) {
  if (client === undefined) return
  assert.equal(await client.poll(), '4waiting')
  await client.prove()
}
