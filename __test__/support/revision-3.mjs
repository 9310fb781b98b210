// Engine.IO clients of revision 3 that send literal bytes, and stock's codec for their payloads.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { accepted } from './engine-clients.mjs'
import { readText } from './frames.mjs'
import { get, post, response, upgrade } from './requests.mjs'

const require = createRequire(import.meta.url)

/** The codec of engine.io, which its package does not export. */
export const parser = require(join(dirname(require.resolve('engine.io')), 'parser-v3/index.js'))

/** The targets of valid requests. */
export const POLLING_3 = '/engine.io/?EIO=3&transport=polling'
export const WEBSOCKET_3 = '/engine.io/?EIO=3&transport=websocket'

/** Options of an engine for these clients. */
export const EIO3 = { allowEIO3: true }

async function answered(peer) {
  const answer = await response(peer)
  peer.destroy()
  return answer
}

/** A polling session, with the app's view of it. */
export class PollingClient3 {
  constructor(world, open, session, target) {
    this.world = world
    this.open = open
    this.sid = open.sid
    this.session = session
    this.target = `${target}&sid=${open.sid}`
  }

  /** Sends a GET on a connection of its own; returns the peer, whose answer is still to come. */
  park() {
    return this.world.peer(get(this.target))
  }

  /** Polls once; returns the answer. */
  async poll() {
    return answered(await this.park())
  }

  /** Sends a POST; returns its answer. */
  async post(body, headers = {}) {
    return answered(await this.world.peer(post(this.target, body, headers)))
  }

  /** Sends packets, and checks that they are taken. */
  async send(body, headers) {
    const answer = await this.post(body, headers)
    assert.deepEqual([answer.status, answer.text], [200, 'ok'])
  }

  /** Sends a payload of bytes. */
  sendBytes(body) {
    return this.send(body, { 'Content-Type': 'application/octet-stream' })
  }
}

/** Opens a polling session. */
export async function openPolling3(world, query = '', target = POLLING_3 + query) {
  const answer = await answered(await world.peer(get(target)))
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8')
  const [, length, packet] = /^(\d+):(0.*)$/.exec(answer.text) ?? []
  assert.equal(Number(length), packet?.length, answer.text)
  const session = await world.session()
  return new PollingClient3(world, JSON.parse(packet.slice(1)), session, target)
}

/** Opens a session on a WebSocket. */
export async function openWebSocket3(world, query = '') {
  const peer = await world.peer(upgrade(WEBSOCKET_3 + query))
  await accepted(peer)
  const packet = await readText(peer)
  assert.equal(packet[0], '0')
  const open = JSON.parse(packet.slice(1))
  return { peer, open, sid: open.sid, session: await world.session() }
}

/** The packets of a payload, by stock's codec. */
export function decodePayload(payload) {
  const packets = []
  parser.decodePayload(payload, (packet) => {
    packets.push(packet)
  })
  return packets
}

/** A payload, by stock's codec. */
export function encodePayload(packets, supportsBinary) {
  let payload
  parser.encodePayload(packets, supportsBinary, (encoded) => {
    payload = encoded
  })
  return payload
}
