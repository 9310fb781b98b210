// The checks of a cell. Each returns `undefined` on success, returns a word for a problem, or throws.
// `visit` is a cell whose server is running: see cell.mjs.

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connected, echo, heard, Upgrade } from './client.mjs'
import { until, within } from '../support/events.mjs'
import { isOpen } from '../support/ports.mjs'

const STABLE = 5_000
/** Long enough for the dev server, which compiles the page at the first request. */
const PAGE = 40_000
/** upwire closes an unanswered upgrade after one second. */
const UNKNOWN = 2_500
/** A process manager would kill the server after this time. */
const SHUTDOWN = 10_000
/** Until a poll is parked at the server, which no event shows. A later one would be refused. */
const PARKED = 200
/** How much longer a shutdown with clients may take. */
const GRACE = 1_500
/** A client's own timeout, plus its pause before the next attempt. */
const NEXT_ATTEMPT = 26_000

/** A WebSocket as the very first request to the server. */
async function first({ clients, firstClient }) {
  if (firstClient) return connected(firstClient, NEXT_ATTEMPT)
  await comeAndGo(clients, { transports: ['websocket'] })
}

async function page({ cell, url }) {
  const path = `${cell.shape.config?.basePath ?? ''}/`
  const response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(PAGE) })
  const text = await response.text()
  if (response.status !== 200) return `status ${response.status}`
  if (!text.includes('The page')) return 'another page'
}

/** Polling as the first Socket.IO request to the server, with one attempt. */
function firstPoll({ clients }) {
  return comeAndGo(clients, { transports: ['polling'], timeout: PAGE })
}

/** Some shapes attach Socket.IO in a route of the app. */
async function route({ cell, url }) {
  const response = await fetch(`${url}${cell.shape.route}`, { signal: AbortSignal.timeout(PAGE) })
  const text = await response.text()
  if (response.status !== 200) return `status ${response.status}: ${text.slice(0, 200)}`
}

function polling({ clients }) {
  return comeAndGo(clients, { transports: ['polling'] })
}

function websocket({ clients }) {
  return comeAndGo(clients, { transports: ['websocket'] })
}

async function comeAndGo(clients, options) {
  const socket = await clients.connect(options)
  await echo(socket)
  clients.close(socket)
}

/** From polling to WebSocket, as a client with default options does. */
async function upgrade({ clients }) {
  const socket = clients.open({ reconnection: false })
  const { engine } = socket.io
  const upgraded = once(engine, 'upgrade')
  const handshake = once(engine, 'handshake')
  // A client that fails to connect emits neither.
  for (const promise of [upgraded, handshake]) promise.catch(() => {})
  await connected(socket, UNKNOWN * 2)
  const [{ upgrades }] = await handshake
  if (upgrades.length === 0) return 'upgrades: []'
  await within(upgraded, () => new Error(`stays on ${engine.transport.name}`), UNKNOWN * 2)
  await echo(socket)
  clients.close(socket)
}

/** Connects three times, as a page does that is reloaded. */
async function reloads({ clients }) {
  for (let count = 0; count < 3; count++) await comeAndGo(clients, {})
}

/** Each of two clients receives the other's message once. */
async function tabs({ clients }) {
  const both = await Promise.all([clients.connect(), clients.connect()])
  const texts = both.map(() => `said ${Math.random()}`)
  const ears = both.map((socket, index) =>
    heard(socket, 'said', (text) => text === texts[1 - index]),
  )
  both.forEach((socket, index) => socket.emit('say', texts[index]))
  await Promise.all(ears.map((ear) => ear.first()))
  // A duplicate would arrive before the answer to a later message.
  await Promise.all(both.map(echo))
  both.forEach((socket) => clients.close(socket))
  if (ears.some(({ all }) => all.length > 1)) return 'heard twice'
}

async function stable({ clients }) {
  const socket = await clients.connect()
  const gone = once(socket, 'disconnect').then(([reason]) => reason)
  const reason = await Promise.race([gone, delay(STABLE)])
  clients.close(socket)
  return reason
}

/** An upgrade of a path that has no owner. */
async function unknown({ port }) {
  const attempt = new Upgrade(port, '/unknown')
  try {
    const status = await attempt.status(UNKNOWN, 'left open')
    await within(attempt.closed, new Error(`${status}, left open`), UNKNOWN)
    if (status === '404 Not Found') return
    return status === '' ? 'ended' : status
  } finally {
    attempt.close()
  }
}

/** An event that a route handler of the app emits reaches the client. */
async function emit({ clients, url, cell }) {
  const method = cell.version.keepsGets ? 'POST' : 'GET'
  const send = () => fetch(`${url}/api/emit`, { method, signal: AbortSignal.timeout(PAGE) })
  const answer = async () => {
    const response = await send()
    return response.status === 200 ? undefined : (await response.text()).slice(0, 200)
  }
  const socket = await clients.connect().catch(() => undefined)
  if (socket === undefined) return (await answer()) ?? 'no client'
  const ear = heard(socket, 'emitted', (text) => text === 'from a route')
  const problem = await answer()
  if (problem === undefined) await ear.first()
  clients.close(socket)
  return problem
}

/** The dev server's own WebSocket. */
export async function openHmr(visit) {
  const { cell, port } = visit
  const path = `${cell.shape.config?.basePath ?? ''}${cell.version.hmr}`
  visit.hmr = new Upgrade(port, `${path}?id=upwire`)
  const status = await visit.hmr.status(UNKNOWN, 'no answer')
  if (!status.startsWith('101')) return status || 'ended'
}

/** Whether that WebSocket is still alive at the end. */
async function hmr({ hmr }) {
  await hmr.ping(UNKNOWN)
}

/** Whether upwire has warned that it cannot work on 13.4. */
async function workers({ server }) {
  await server.says(/ERR_UPWIRE_NEXT_WORKERS/, UNKNOWN)
}

/**
 * WebSocket-only clients with otherwise default options, which begin to connect just before the port opens
 * or while the app is still loading. `visit.arrivals` has started together with the server.
 */
function boot({ arrivals }) {
  return arrivals.done
}

/**
 * Sends SIGTERM while a client of each transport is connected. Resolves with the results of its parts.
 * @returns {Promise<{ ending: string, farewell: string, pollingFarewell: string, port: string }>}
 */
export async function end(visit, wanted) {
  const reasons = {}
  for (const [name, transport] of [
    ['farewell', 'websocket'],
    ['pollingFarewell', 'polling'],
  ]) {
    if (!wanted.has(name)) continue
    reasons[name] = visit.clients
      .connect({ transports: [transport] })
      .then((socket) => ({ gone: awaitedLater(once(socket, 'disconnect')) }))
      .catch((error) => ({ gone: awaitedLater(Promise.reject(error)) }))
  }
  await Promise.all(Object.values(reasons))
  await delay(PARKED)
  const results = { ending: await outcome(ending(visit)) }
  for (const [name, waited] of Object.entries(reasons)) {
    const { gone } = await waited
    const heardOf = within(gone, new Error('not told'), UNKNOWN).then(([reason]) => reason)
    results[name] = await outcome(
      heardOf.then((reason) => (reason === 'transport close' ? undefined : reason)),
    )
  }
  results.port = await outcome(portCloses(visit))
  return results
}

async function portCloses({ port }) {
  await until(async () => !(await isOpen(port)), new Error('still open'), UNKNOWN)
}

/** A promise that may reject before it is awaited. */
function awaitedLater(promise) {
  promise.catch(() => {})
  return promise
}

async function ending(visit) {
  const time = await visit.server.terminate(SHUTDOWN)
  // A shutdown without clients takes time, too. Within the grace there is nothing to compare.
  if (time <= GRACE) return
  visit.server.kill()
  await visit.start()
  await page(visit)
  const alone = await visit.server.terminate(SHUTDOWN)
  const [more, less] = [time, alone].map(Math.round)
  if (time > alone + GRACE) return `${more} ms, ${less} ms without clients`
}

/** The result of a check, as it is recorded. */
export async function outcome(check) {
  try {
    return (await check) ?? 'ok'
  } catch (error) {
    return error.message.split('\n')[0]
  }
}

/** The checks, by their names in expected.mjs and in the results. */
export const checks = {
  ...{ first, boot, page, pageAfter: page, route, firstPoll },
  ...{ stable, polling, websocket, upgrade, reloads, tabs, unknown, emit },
  ...{ hmr, workers },
}
