// Engine.IO clients that speak in literal bytes.

import assert from 'node:assert/strict'
import { until } from './events.mjs'
import { readText } from './frames.mjs'
import { ACCEPT, POLLING, WEBSOCKET, get, post, response, upgrade } from './requests.mjs'

/** A polling session and the app's view of it. */
export class PollingClient {
  constructor(world, open, session) {
    this.world = world
    this.open = open
    this.sid = open.sid
    /** What the app sees. */
    this.session = session
    this.target = `${POLLING}&sid=${open.sid}`
  }

  /** A GET on a connection of its own; the peer, with the answer yet to come. */
  get() {
    return this.world.peer(get(this.target))
  }

  /** A POST on a connection of its own. */
  post(body, headers) {
    return this.world.peer(post(this.target, body, headers))
  }

  /** A GET's answer. */
  async poll() {
    return (await answered(await this.get())).text
  }

  /** Posts a payload that must be taken. */
  async send(payload) {
    const { status, text } = await answered(await this.post(payload))
    assert.deepEqual([status, text], [200, 'ok'])
  }

  /** A GET that is known to be parked. */
  async park() {
    const peer = await this.get()
    // The app's view tells when it has been parked: only then is polling writable.
    await until(() => this.session.socket.transport.writable, 'a GET to be parked')
    return peer
  }

  /** A WebSocket request for this session. */
  upgradeRequest(headers) {
    return upgrade(`${WEBSOCKET}&sid=${this.sid}`, headers)
  }

  /** A WebSocket for this session, past its 101. */
  async probe() {
    const peer = await this.world.peer(this.upgradeRequest())
    await accepted(peer)
    return peer
  }

  /** Proves that the session is alive, on polling, both ways. */
  async prove(mark = 'alive') {
    const { messages, socket } = this.session
    const before = messages.length
    await this.send(`4${mark}`)
    await this.session.received(before + 1)
    assert.equal(messages.at(-1), mark)
    assert.equal(socket.transport.name, 'polling')
    const answer = this.poll()
    socket.send(mark)
    assert.equal(await answer, `4${mark}`)
  }
}

async function answered(peer) {
  const answer = await response(peer)
  peer.destroy()
  return answer
}

/** Opens a polling session. */
export async function openPolling(world, query = '') {
  const answer = await answered(await world.peer(get(POLLING + query)))
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.text[0], '0')
  return new PollingClient(world, JSON.parse(answer.text.slice(1)), await world.session())
}

/** Reads a 101. */
export async function accepted(peer) {
  const answer = await response(peer)
  assert.equal(answer.status, 101, `${answer.line} ${answer.text}`)
  assert.equal(answer.headers.upgrade, 'websocket')
  assert.equal(answer.headers.connection, 'Upgrade')
  assert.equal(answer.headers['sec-websocket-accept'], ACCEPT)
  return answer
}

/** Reads a 101 and the open packet behind it. */
export async function opened(peer) {
  await accepted(peer)
  const packet = await readText(peer)
  assert.equal(packet[0], '0')
  return JSON.parse(packet.slice(1))
}

/** Opens a session on a WebSocket. */
export async function openWebSocket(world, query = '') {
  const peer = await world.peer(upgrade(WEBSOCKET + query))
  const open = await opened(peer)
  const session = await world.session()
  return { peer, open, sid: open.sid, session }
}
