// Engine.IO clients that send literal bytes.

import assert from 'node:assert/strict'
import { until } from './events.mjs'
import { readText } from './frames.mjs'
import { ACCEPT, POLLING, WEBSOCKET, get, post, response, upgrade } from './requests.mjs'

/** A polling session, with the app's view of it. */
export class PollingClient {
  constructor(world, open, session) {
    this.world = world
    this.open = open
    this.sid = open.sid
    /** What the app sees. */
    this.session = session
    this.target = `${POLLING}&sid=${open.sid}`
  }

  /** Sends a GET on a connection of its own; returns the peer, whose answer is still to come. */
  get() {
    return this.world.peer(get(this.target))
  }

  /** Sends a POST on a connection of its own. */
  post(body, headers) {
    return this.world.peer(post(this.target, body, headers))
  }

  /** Sends a GET and returns its answer. */
  async poll() {
    return (await answered(await this.get())).text
  }

  /** Posts a payload that the server must accept. */
  async send(payload) {
    const { status, text } = await answered(await this.post(payload))
    assert.deepEqual([status, text], [200, 'ok'])
  }

  /** Sends a GET and waits until it is parked. */
  async park() {
    const peer = await this.get()
    // Polling is writable only while a GET is parked.
    await until(() => this.session.socket.transport.writable, 'a GET to be parked')
    return peer
  }

  /** The bytes of a WebSocket request for this session. */
  upgradeRequest(headers) {
    return upgrade(`${WEBSOCKET}&sid=${this.sid}`, headers)
  }

  /** Opens a WebSocket for this session and reads its 101. */
  async probe() {
    const peer = await this.world.peer(this.upgradeRequest())
    await accepted(peer)
    return peer
  }

  /** Proves that the session works on polling, in both directions. */
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
export async function openPolling(world, query = '', headers = {}) {
  const answer = await answered(await world.peer(get(POLLING + query, headers)))
  assert.equal(answer.status, 200, answer.text)
  const [, script] = /^___eio\[\d*\]\((.*)\);$/s.exec(answer.text) ?? []
  const text = script === undefined ? answer.text : JSON.parse(script)
  assert.equal(text[0], '0')
  return new PollingClient(world, JSON.parse(text.slice(1)), await world.session())
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

/** Reads a 101 and the open packet after it; returns the packet's fields. */
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
