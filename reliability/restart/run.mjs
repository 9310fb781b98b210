// Restarts behind a real nginx, under load from clients that retry. Run it with `npm run restart`;
// the addon must be built. nginx is installed where one command can do that.
//
//   --rounds N    rounds of each kind (2)
//   --clients N   the number of clients (40)
//
// 1. Two servers are restarted in turn by SIGTERM. Every acknowledged message must be in the servers'
//    logs; messages that a retry wrote twice are counted once, by their id.
// 2. One server with connection state recovery, while the proxy is reloaded and restarted: no message
//    is lost in either direction, and no message of the server comes twice.
//
// Recovery is tested on WebSocket: the server notices only by the heartbeat that a polling client
// between two polls has gone, and it keeps a session for recovery only once that has ended.
// UPWIRE_REQUIRE_NGINX=1 makes a missing nginx a failure.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { ServerProcess } from '../../bench/harness/server-process.mjs'
import { ensureNginx, howToGet } from '../../scripts/nginx.mjs'
import { freePort } from '../../__test__/support/ports.mjs'
import { read } from '../harness/arguments.mjs'
import { RetryingClient } from './clients.mjs'
import { Nginx } from './proxy.mjs'

const TRANSPORTS = [['websocket'], ['polling', 'websocket'], ['polling']]
const WEBSOCKET = [['websocket'], ['polling', 'websocket']]
const EXIT_PATIENCE = 5_000
const SETTLING = 30_000
/** The time between two messages of a client, and of the server to all. */
const INTERVAL = 40
const SCRIPT = new URL('server.mjs', import.meta.url)

const options = read({ rounds: 2, clients: 40 })
const nginx = ensureNginx()
if (nginx === null) {
  console.error(`\nRestart skipped: there is no nginx. To run it, ${howToGet}.\n`)
  process.exit(process.env.UPWIRE_REQUIRE_NGINX === '1' ? 1 : 0)
}
console.log(`restart: ${JSON.stringify(options)}, Node ${process.version}`)

const folder = mkdtempSync(join(tmpdir(), 'upwire-restart-log-'))
const log = join(folder, 'saved')
const wrong = []
const complain = (text) => {
  wrong.push(text)
  if (wrong.length <= 20) console.log(`WRONG: ${text}`)
}

try {
  await rollingRestart()
  await recovery()
} catch (error) {
  complain(error.stack)
}
rmSync(folder, { recursive: true, force: true })
console.log(wrong.length === 0 ? 'restart: passed' : `restart: FAILED, ${wrong.length} wrong`)
process.exit(wrong.length === 0 ? 0 : 1)

/** Restarts two servers in turn while clients send. */
async function rollingRestart() {
  writeFileSync(log, '')
  const ports = [await freePort(), await freePort()]
  const start = (port) => ServerProcess.start(SCRIPT, [JSON.stringify({ port, log })])
  const servers = await Promise.all(ports.map(start))
  const proxy = new Nginx(nginx, await freePort(), ports)
  await proxy.start()
  const clients = await connectAll(proxy.port, TRANSPORTS)
  const exits = []
  for (let round = 0; round < options.rounds; round++) {
    for (const [index, port] of ports.entries()) {
      await sleep(1_000)
      exits.push(await terminate(servers[index]))
      await sleep(500)
      servers[index] = await start(port)
    }
  }
  await sleep(1_000)
  await settle(clients)
  const slowest = Math.max(...exits).toFixed(0)
  console.log(`rolling restart: ${exits.length} exits on SIGTERM, the slowest after ${slowest} ms`)
  compare(clients)
  await Promise.all(servers.map(terminate))
  await proxy.end()
}

/** Keeps one server running while the proxy restarts. */
async function recovery() {
  writeFileSync(log, '')
  const port = await freePort()
  const given = { port, log, recovery: true, interval: INTERVAL }
  const server = await ServerProcess.start(SCRIPT, [JSON.stringify(given)])
  const proxy = new Nginx(nginx, await freePort(), [port])
  await proxy.start()
  const clients = await connectAll(proxy.port, WEBSOCKET, (client) => client.follow())
  for (let round = 0; round < options.rounds; round++) {
    await sleep(1_000)
    proxy.reload()
    await sleep(3_000)
    await proxy.stop()
    await sleep(300)
    await proxy.start()
    await sleep(2_000)
  }
  await settle(clients)
  const { news, own, recovered } = await server.ask('stop')
  await arrival(clients, news, new Map(own))
  const lost = clients.reduce((sum, { unrecovered }) => sum + unrecovered, 0)
  if (lost > 0) complain(`${lost} reconnections were not recovered`)
  if (recovered === 0) complain('no connection was cut')
  console.log(`recovery: ${recovered} reconnections recovered, ${news} broadcasts to each client`)
  compare(clients)
  await terminate(server)
  await proxy.end()
}

async function connectAll(port, transports, prepare) {
  const clients = Array.from({ length: options.clients }, (_, index) => {
    const kind = transports[index % transports.length]
    const client = new RetryingClient(`client ${index}`, port, kind, complain)
    prepare?.(client)
    return client
  })
  await Promise.all(clients.map((client) => client.connected()))
  for (const client of clients) client.start(INTERVAL)
  return clients
}

/** Sends SIGTERM; returns the milliseconds until the end. */
async function terminate(server) {
  const start = performance.now()
  server.signal('SIGTERM')
  const late = sleep(EXIT_PATIENCE).then(() => ['still there'])
  const [code, signal] = await Promise.race([server.ended, late])
  if (code !== 0) complain(`a server after SIGTERM: ${signal ?? code}`)
  await server.end()
  return performance.now() - start
}

/** Stops sending; all messages sent so far must be acknowledged. */
async function settle(clients) {
  for (const client of clients) client.stop()
  await until(
    () => clients.every((client) => client.isSettled),
    () => `${clients.filter((client) => !client.isSettled).length} clients are not done`,
  )
}

/** Waits until all messages of the server have arrived. */
async function arrival(clients, news, own) {
  const isComplete = (client) => client.news === news && client.own === own.get(client.socket.id)
  await until(
    () => clients.every(isComplete),
    () => `${clients.filter((client) => !isComplete(client)).length} clients miss messages`,
  )
}

/** Compares the acknowledged messages of the clients with the logs of the servers. */
function compare(clients) {
  const saved = new Map()
  for (const id of readFileSync(log, 'utf8').split('\n').slice(0, -1)) {
    saved.set(id, (saved.get(id) ?? 0) + 1)
  }
  const acknowledged = clients.flatMap((client) => client.acknowledged)
  for (const id of acknowledged) if (!saved.has(id)) complain(`${id} was acknowledged and is lost`)
  const sent = clients.reduce((sum, client) => sum + client.sent, 0)
  const twice = [...saved.values()].filter((times) => times > 1).length
  const connects = clients.reduce((sum, client) => sum + client.connects, 0)
  for (const client of clients) client.close()
  if (saved.size > sent) complain(`${saved.size} ids were saved, ${sent} were sent`)
  console.log(
    `  ${clients.length} clients connected ${connects} times; ${sent} messages sent, ` +
      `${acknowledged.length} acknowledged, ${saved.size} saved, ${twice} of them more than once`,
  )
}

async function until(condition, what) {
  const end = performance.now() + SETTLING
  while (!condition()) {
    if (performance.now() > end) return complain(what())
    await sleep(50)
  }
}
