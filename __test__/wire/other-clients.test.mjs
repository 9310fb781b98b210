// Clients in other languages, as the bytes that they send: the order and spelling of their headers, the order
// of their queries, how they answer pings and how they close. The requests follow the clients' sources.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { event, gather, until, within } from '../support/events.mjs'
import { OP, close, frame, readFrame, text } from '../support/frames.mjs'
import { Peer } from '../support/peer.mjs'
import { ACCEPT, KEY, response } from '../support/requests.mjs'
import { serve } from '../support/servers.mjs'

/** Lines of a request, with the port that the server has. */
const request = (port, ...lines) => `${lines.join('\r\n').replaceAll('PORT', port)}\r\n\r\n`

/** Takes frames until the namespace is connected: the open packet, then `40`. */
async function connectNamespace(peer, payload = '40') {
  assert.match((await readFrame(peer)).text, /^0\{"sid":/)
  peer.write(text(payload))
  assert.match((await readFrame(peer)).text, /^40\{"sid":/)
}

/** Answers Engine.IO pings of the server until something else comes. */
async function nextMessage(peer) {
  for (;;) {
    const received = await readFrame(peer)
    if (received.text !== '2') return received
    peer.write(text('3'))
  }
}

/** A server whose clients get `echo` for `hi`. */
async function echoServer(t, opts) {
  const served = await serve(t, opts)
  served.io.on('connection', (socket) => socket.on('hi', (value) => socket.emit('echo', value)))
  return served
}

/** The clients that open a WebSocket at once. */
const DIRECT = [
  {
    // Starscream keeps headers in a dictionary, so their order varies.
    name: 'Swift (Starscream 4, with compression)',
    lines: [
      'GET /socket.io/?transport=websocket&EIO=4 HTTP/1.1',
      'Host: 127.0.0.1:PORT',
      'Sec-WebSocket-Version: 13',
      'Upgrade: websocket',
      `Sec-WebSocket-Key: ${KEY}`,
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits=15',
      'Origin: ws://127.0.0.1:PORT',
      'Connection: Upgrade',
    ],
    close: close(1000),
  },
  {
    name: 'Java (OkHttp)',
    lines: [
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${KEY}`,
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Extensions: permessage-deflate',
      'Host: 127.0.0.1:PORT',
      'Accept-Encoding: gzip',
      'User-Agent: okhttp/4.12.0',
    ],
    close: close(1000),
  },
  {
    name: 'C++ (socket.io-client-cpp on websocketpp)',
    lines: [
      'GET /socket.io/?EIO=4&transport=websocket&t=1700000000 HTTP/1.1',
      'Connection: Upgrade',
      'Host: 127.0.0.1:PORT',
      `Sec-WebSocket-Key: ${KEY}`,
      'Sec-WebSocket-Version: 13',
      'Upgrade: websocket',
      'User-Agent: WebSocket++/0.8.2',
    ],
    close: close(1000, 'End by user'),
  },
]

for (const { name, lines, close: last } of DIRECT) {
  for (const opts of [{}, { perMessageDeflate: true }]) {
    test(`${name}, ${JSON.stringify(opts)}`, async (t) => {
      const served = await echoServer(t, { pingInterval: 100, ...opts })
      const arrival = event(served.io, 'connection')
      const peer = await Peer.connect(served.port)
      t.after(() => peer.destroy())
      peer.write(request(served.port, ...lines))
      const opened = await response(peer)
      assert.equal(opened.status, 101)
      assert.equal(opened.headers['sec-websocket-accept'], ACCEPT)
      await connectNamespace(peer)
      const [socket] = await arrival
      const sent = lines.slice(1).map((line) => line.split(': ')[0])
      const names = socket.request.rawHeaders.filter((_, index) => index % 2 === 0)
      assert.deepEqual(names, sent)

      const heartbeats = gather(socket.conn, 'heartbeat')
      peer.write(text('42["hi",1]'))
      assert.equal((await nextMessage(peer)).text, '42["echo",1]')
      // They answer the server's pings only when they read.
      assert.equal((await readFrame(peer)).text, '2')
      peer.write(text('3'))
      await until(() => heartbeats.length > 0, 'a pong to arrive')

      const closed = event(socket.conn, 'close')
      peer.write(last)
      assert.equal((await closed)[0], 'transport close')
      assert.equal((await readFrame(peer)).opcode, OP.CLOSE)
    })
  }
}

/** The clients that begin with polling, and probe a WebSocket on a second connection. */
const PROBING = [
  {
    name: 'Swift (socket.io-client-swift)',
    polling: '/socket.io/?transport=polling&b64=1&EIO=4',
    headers: [
      'Host: 127.0.0.1:PORT',
      'Accept: */*',
      'User-Agent: App/1 CFNetwork/1494 Darwin/23.4.0',
      'Accept-Language: en-GB,en;q=0.9',
      'Accept-Encoding: gzip, deflate',
      'Connection: keep-alive',
    ],
    post: ['Content-Type: text/plain; charset=UTF-8'],
    websocket: '/socket.io/?transport=websocket&EIO=4',
    upgrade: ['Origin: ws://127.0.0.1:PORT'],
  },
  {
    // Its query is a HashMap: the time stamp comes first.
    name: 'Java (engine.io-client on OkHttp)',
    polling: '/socket.io/?t=PBz1abc.0&EIO=4&transport=polling',
    headers: [
      'Accept: */*',
      'Host: 127.0.0.1:PORT',
      'Connection: Keep-Alive',
      'Accept-Encoding: gzip',
      'User-Agent: okhttp/4.12.0',
    ],
    post: ['Content-type: text/plain;charset=UTF-8'],
    websocket: '/socket.io/?EIO=4&transport=websocket',
    upgrade: ['Sec-WebSocket-Extensions: permessage-deflate', 'User-Agent: okhttp/4.12.0'],
  },
]

for (const { name, polling, headers, post, websocket, upgrade } of PROBING) {
  test(`${name}: polling, then an upgrade`, async (t) => {
    const served = await echoServer(t)
    const { port } = served
    const peer = await Peer.connect(port)
    t.after(() => peer.destroy())
    const arrival = event(served.io, 'connection')
    peer.write(request(port, `GET ${polling} HTTP/1.1`, ...headers))
    const [, sid] = (await response(peer)).text.match(/"sid":"([^"]+)"/)
    const target = `${polling}&sid=${sid}`
    const send = async (body) => {
      const length = `Content-Length: ${body.length}`
      peer.write(request(port, `POST ${target} HTTP/1.1`, ...headers, ...post, length) + body)
      assert.equal((await response(peer)).text, 'ok')
    }
    const poll = async () => {
      peer.write(request(port, `GET ${target} HTTP/1.1`, ...headers))
      return (await response(peer)).text.split('\x1e')
    }
    await send('40')
    const [socket] = await arrival
    assert.match((await poll())[0], /^40\{"sid":/)
    socket.emit('bytes', Buffer.from([1, 2]))
    assert.deepEqual(await poll(), ['451-["bytes",{"_placeholder":true,"num":0}]', 'bAQI='])
    await send('42["hi",1]')
    assert.deepEqual(await poll(), ['42["echo",1]'])

    const probe = await Peer.connect(port)
    t.after(() => probe.destroy())
    probe.write(
      request(
        port,
        `GET ${websocket}&sid=${sid} HTTP/1.1`,
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Key: ${KEY}`,
        'Sec-WebSocket-Version: 13',
        'Host: 127.0.0.1:PORT',
        ...upgrade,
      ),
    )
    assert.equal((await response(probe)).status, 101)
    const upgraded = event(socket.conn, 'upgrade')
    probe.write(text('2probe'))
    assert.equal((await readFrame(probe)).text, '3probe')
    probe.write(text('5'))
    await upgraded
    // The WebSocket has binary frames, whatever the query of polling said.
    socket.emit('bytes', Buffer.from([3]))
    assert.equal((await nextMessage(probe)).text, '451-["bytes",{"_placeholder":true,"num":0}]')
    const attachment = await nextMessage(probe)
    assert.deepEqual([attachment.opcode, ...attachment.payload], [OP.BINARY, 3])
    probe.write(text('41'))
    const closed = event(socket.conn, 'close')
    probe.write(close(1000))
    assert.equal((await closed)[0], 'transport close')
  })
}

describe('Arduino (SocketIOclient of arduinoWebSockets)', () => {
  /** Its polling handshake: it looks for the sid in the body, and keeps the connection for the upgrade. */
  async function handshake(t, opts = {}) {
    const served = await echoServer(t, { allowedOrigins: ['file://'], ...opts })
    const peer = await Peer.connect(served.port)
    t.after(() => peer.destroy())
    peer.write(
      request(
        served.port,
        'GET /socket.io/?EIO=4&transport=polling HTTP/1.1',
        'Host: 127.0.0.1:PORT',
        'Connection: keep-alive',
        'Origin: file://',
        'User-Agent: arduino-WebSocket-Client',
      ),
    )
    const answer = await response(peer)
    assert.equal(answer.status, 200)
    const [, sid] = answer.text.match(/"sid":"([^"]+)"/)
    return { ...served, peer, sid }
  }

  function upgrade({ peer, port, sid }) {
    peer.write(
      request(
        port,
        `GET /socket.io/?EIO=4&transport=websocket&sid=${sid} HTTP/1.1`,
        'Host: 127.0.0.1:PORT',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${KEY}`,
        'Sec-WebSocket-Protocol: arduino',
        'Origin: file://',
        'User-Agent: arduino-WebSocket-Client',
      ),
    )
    return response(peer)
  }

  test('upgrades on the connection of its handshake, without a probe', async (t) => {
    const world = await handshake(t, { pingInterval: 200 })
    const [session] = Object.values(world.engine.clients)
    const opened = await upgrade(world)
    assert.equal(opened.status, 101)
    assert.equal(opened.headers['sec-websocket-protocol'], 'arduino')
    const { peer } = world
    // The client sends `5` without a probe, and then the packet that connects its namespace.
    const upgraded = event(session, 'upgrade')
    peer.write(text('5'))
    peer.write(text('40'))
    await upgraded
    assert.match((await nextMessage(peer)).text, /^40\{"sid":/)
    peer.write(text('42["hi",1]'))
    assert.equal((await nextMessage(peer)).text, '42["echo",1]')
    // A heartbeat of the WebSocket, besides those of Engine.IO.
    peer.write(frame(OP.PING))
    let pong = await nextMessage(peer)
    while (pong.opcode !== OP.PONG) pong = await nextMessage(peer)
    const closed = event(session, 'close')
    peer.write(close(1000))
    assert.equal((await within(closed, 'the close'))[0], 'transport close')
  })
})
