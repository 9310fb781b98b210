// What is tried in a cell. Each returns nothing when all is well, or a word for what it found, or
// throws. `visit` is a cell whose server runs: see cell.mjs.

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connected, echo, heard, Upgrade } from './client.mjs'
import { until, within } from './process.mjs'

const STABLE = 5_000
/** The dev server compiles at the first request. */
const PAGE = 40_000
/** upwire closes after one second what nobody answers. */
const UNKNOWN = 2_500
/** As a process manager, we would kill it then. */
const SHUTDOWN = 10_000
/** Until a poll waits at the server, which nothing tells; one on its way is refused at the end. */
const PARKED = 200
/** What clients may add to the end of a process. */
const GRACE = 1_500
/** A client's own timeout, and its pause before the next attempt. */
const NEXT_ATTEMPT = 26_000

/** A WebSocket as the very first thing that the server sees. */
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

/** Polling as the first that the server sees of Socket.IO, with one attempt. */
function firstPoll({ clients }) {
  return comeAndGo(clients, { transports: ['polling'], timeout: PAGE })
}

/** Some shapes attach in a route of the app. */
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
  // Whoever fails to connect hears neither.
  for (const promise of [upgraded, handshake]) promise.catch(() => {})
  await connected(socket, UNKNOWN * 2)
  const [{ upgrades }] = await handshake
  if (upgrades.length === 0) return 'upgrades: []'
  await within(UNKNOWN * 2, upgraded, `stays on ${engine.transport.name}`)
  await echo(socket)
  clients.close(socket)
}

/** Coming back three times, as a page that is loaded again. */
async function reloads({ clients }) {
  for (let count = 0; count < 3; count++) await comeAndGo(clients, {})
}

/** Each of two clients hears what the other says, once. */
async function tabs({ clients }) {
  const both = await Promise.all([clients.connect(), clients.connect()])
  const texts = both.map(() => `said ${Math.random()}`)
  const ears = both.map((socket, index) =>
    heard(socket, 'said', (text) => text === texts[1 - index]),
  )
  both.forEach((socket, index) => socket.emit('say', texts[index]))
  await Promise.all(ears.map((ear) => ear.first()))
  // What comes twice comes before the answer to something sent later.
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

/** An upgrade of a path that is nobody's. */
async function unknown({ port }) {
  const attempt = new Upgrade(port, '/unknown')
  try {
    const status = await attempt.status(UNKNOWN, 'left open')
    await within(UNKNOWN, attempt.closed, `${status}, left open`)
    if (status === '404 Not Found') return
    return status === '' ? 'ended' : status
  } finally {
    attempt.close()
  }
}

/** What a route handler of the app emits arrives. */
async function emit({ clients, url }) {
  const send = () => fetch(`${url}/api/emit`, { method: 'POST', signal: AbortSignal.timeout(PAGE) })
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

/** Whether it is alive at the end. */
async function hmr({ hmr }) {
  await hmr.ping(UNKNOWN)
}

/** Whether 13.4 was told why it cannot work there. */
async function workers({ server }) {
  await server.says(/ERR_UPWIRE_NEXT_WORKERS/, UNKNOWN)
}

/**
 * Clients with default options that begin to try a moment before the port is open, or while the
 * app is still being loaded, and know WebSocket alone. `visit.arrivals` was begun with the server.
 */
function boot({ arrivals }) {
  return arrivals.done
}

/**
 * SIGTERM with a client of each kind: resolves with what each part of it gave.
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
    const heardOf = within(UNKNOWN, gone, 'not told').then(([reason]) => reason)
    results[name] = await outcome(
      heardOf.then((reason) => (reason === 'transport close' ? undefined : reason)),
    )
  }
  results.port = await outcome(until(visit.port, false, UNKNOWN, 'still open'))
  return results
}

/** A promise that may fail before somebody looks at it. */
function awaitedLater(promise) {
  promise.catch(() => {})
  return promise
}

async function ending(visit) {
  const time = await visit.server.terminate(SHUTDOWN)
  // Without clients it takes some time too; below the grace there is nothing to compare.
  if (time <= GRACE) return
  visit.server.kill()
  await visit.start()
  await page(visit)
  const alone = await visit.server.terminate(SHUTDOWN)
  const [more, less] = [time, alone].map(Math.round)
  if (time > alone + GRACE) return `${more} ms, ${less} ms without clients`
}

/** A check's result as it is recorded. */
export async function outcome(check) {
  try {
    return (await check) ?? 'ok'
  } catch (error) {
    return error.message.split('\n')[0]
  }
}

/** By the names that expected.mjs and the results have for them. */
export const checks = {
  ...{ first, boot, page, pageAfter: page, route, firstPoll },
  ...{ stable, polling, websocket, upgrade, reloads, tabs, unknown, emit },
  ...{ hmr, workers },
}
