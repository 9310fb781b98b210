// The results of `attach` and `Engine.attach`, on the first call and on later ones.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { Server } from 'socket.io'
import { attach, Engine, EngineSocket } from 'upwire'
import { TRANSPORTS, client, connect, enginePair, pair } from '../support/clients.mjs'
import { copyPackage, load, loadAnew } from '../support/copies.mjs'
import { event, gather, turns } from '../support/events.mjs'
import { fetchText } from '../support/http.mjs'
import { listen, pages, serve, shut } from '../support/servers.mjs'

/** The warnings that upwire prints while `action` runs. */
async function warnings(_t, action) {
  const seen = gather(process, 'warning')
  const value = await action()
  await turns(2)
  return {
    value,
    seen: seen.map(([warning]) => warning).filter(({ code }) => code?.startsWith('UPWIRE')),
  }
}

describe('the package', () => {
  test('exports attach, Engine and EngineSocket, to require and to import', () => {
    const required = createRequire(import.meta.url)('upwire')
    assert.deepEqual(Object.keys(required).sort(), ['Engine', 'EngineSocket', 'attach'])
    assert.equal(required.attach, attach)
    assert.equal(required.Engine, Engine)
    assert.equal(required.EngineSocket, EngineSocket)
    assert.deepEqual(Engine.errors, {
      UNKNOWN_TRANSPORT: 0,
      UNKNOWN_SID: 1,
      BAD_HANDSHAKE_METHOD: 2,
      BAD_REQUEST: 3,
      FORBIDDEN: 4,
      UNSUPPORTED_PROTOCOL_VERSION: 5,
    })
    assert.equal(Engine.errorMessages[1], 'Session ID unknown')
  })

  test('names the package to install when socket.io is missing', (t) => {
    const { attach: attachCopy, Engine: EngineCopy } = load(
      copyPackage(t, { dependencies: ['cookie', 'cors', 'debug'] }),
    )
    assert.throws(() => attachCopy(createServer()), {
      code: 'ERR_UPWIRE_SOCKET_IO_MISSING',
      message: /npm install socket\.io/,
    })
    assert.doesNotThrow(() => new EngineCopy(), 'Engine.IO alone does not need socket.io')
  })

  test('leaves the server unchanged when socket.io is missing', (t) => {
    const folder = copyPackage(t, { dependencies: ['cookie', 'cors', 'debug'] })
    const server = createServer()
    assert.throws(() => load(folder).attach(server), { code: 'ERR_UPWIRE_SOCKET_IO_MISSING' })
    const io = attach(server)
    assert.ok(io instanceof Server)
    io.close()
  })

  test('explains what to do when its binary is missing', (t) => {
    const folder = copyPackage(t, { native: false })
    assert.throws(
      () => load(folder),
      (error) => {
        assert.equal(error.code, 'ERR_UPWIRE_NATIVE_MISSING')
        assert.ok(error.message.includes(`${process.platform}-${process.arch}`))
        assert.match(error.message, /build-from-source/)
        assert.ok(error.cause)
        return true
      },
    )
  })
})

describe('attach', () => {
  test('returns the official Server on upwire’s engine', async (t) => {
    const { io, server, engine } = await serve(t)
    assert.ok(io instanceof Server)
    assert.ok(engine instanceof Engine)
    assert.equal(io.httpServer, server)
    assert.equal(io.path(), '/socket.io')
    const { far } = await pair(t, { io, url: `http://127.0.0.1:${server.address().port}` })
    assert.ok(far.conn instanceof EngineSocket)
    assert.equal(far.conn.server, engine)
  })

  test('passes socket.io’s own options to socket.io', async (t) => {
    const { io } = await serve(t, { connectTimeout: 123, path: '/own/', serveClient: false })
    assert.equal(io.connectTimeout(), 123)
    assert.equal(io.path(), '/own')
    assert.equal(io.serveClient(), false)
  })

  test('returns the same io for the same server and path', async (t) => {
    const { io, server } = await serve(t, { path: '/socket.io' })
    const { seen } = await warnings(t, () => {
      assert.equal(attach(server), io)
      assert.equal(attach(server, {}), io)
      assert.equal(attach(server, { path: '/socket.io' }), io)
      assert.equal(attach(server, { path: '/socket.io/' }), io)
    })
    assert.deepEqual(
      seen.filter(({ code }) => code !== 'UPWIRE_ATTACHED'),
      [],
    )
    assert.notEqual(attach(server, { path: '/other' }), io)
    t.after(() => attach(server, { path: '/other' }).close())
  })

  test('ignores different options on a second call, with one warning', async (t) => {
    const path = '/warned'
    const { io, server, url } = await serve(t, { path, pingInterval: 1000 })
    const { seen } = await warnings(t, () => {
      for (let n = 0; n < 3; n++) assert.equal(attach(server, { path, pingInterval: 2000 }), io)
    })
    assert.deepEqual(
      seen.map(({ code }) => code),
      ['UPWIRE_ATTACHED'],
    )
    assert.match(seen[0].message, /\/warned/)
    assert.equal(io.engine.opts.pingInterval, 1000)
    const same = await warnings(t, () => attach(server, { path, pingInterval: 1000 }))
    assert.deepEqual(same.seen, [])
    const near = await connect(t, url, { path })
    assert.equal(near.io.engine._pingInterval, 1000)
  })

  test('a second copy of the package returns the same io', async (t) => {
    const { io, server, url } = await serve(t)
    const copy = load(copyPackage(t))
    assert.notEqual(copy.attach, attach)
    assert.equal(copy.attach(server), io)
    assert.throws(() => new copy.Engine().attach(server, { path: '/socket.io' }), {
      code: 'ERR_UPWIRE_PATH_IN_USE',
    })
    // The copy attaches another path of the same server; both paths work.
    const other = copy.attach(server, { path: '/copy' })
    t.after(() => other.close())
    other.on('connection', (socket) => socket.on('who', (ack) => ack('copy')))
    io.on('connection', (socket) => socket.on('who', (ack) => ack('first')))
    for (const { transports } of TRANSPORTS) {
      const first = await connect(t, url, { transports })
      const second = await connect(t, url, { transports, path: '/copy' })
      assert.equal(await first.timeout(5000).emitWithAck('who'), 'first')
      assert.equal(await second.timeout(5000).emitWithAck('who'), 'copy')
    }
    assert.equal(attach(server, { path: '/copy' }), other)
  })

  test('the package, evaluated a second time, shares the native image', async (t) => {
    const { io, server, url } = await serve(t)
    const again = loadAnew()
    assert.notEqual(again.attach, attach)
    assert.equal(again.attach(server), io)
    const other = again.attach(server, { path: '/again' })
    t.after(() => other.close())
    other.on('connection', (socket) => socket.on('who', (ack) => ack('again')))
    io.on('connection', (socket) => socket.on('who', (ack) => ack('first')))
    for (const { transports } of TRANSPORTS) {
      const first = await connect(t, url, { transports })
      const second = await connect(t, url, { transports, path: '/again' })
      const answers = [first, second].map((each) => each.timeout(5000).emitWithAck('who'))
      assert.deepEqual(await Promise.all(answers), ['first', 'again'])
    }
  })

  test('makes a new io after io.close(), also when the server listens again before the call', async (t) => {
    const server = pages()
    const first = attach(server, { pingInterval: 1000 })
    first.on('connection', (socket) => socket.emit('who', 'first'))
    const port = await listen(server)
    await first.close()
    await listen(server, port)
    const second = attach(server, { pingInterval: 2000 })
    t.after(() => second.close())
    assert.notEqual(second, first)
    assert.equal(second.engine.opts.pingInterval, 2000)
    second.on('connection', (socket) => socket.emit('who', 'second'))
    for (const { transports } of TRANSPORTS) {
      const near = client(t, `http://127.0.0.1:${port}`, { transports })
      assert.deepEqual(await event(near, 'who'), ['second'])
    }
  })

  test('makes a new io while io.close() is in progress', async (t) => {
    const server = pages()
    const first = attach(server)
    const port = await listen(server)
    const closed = first.close()
    const second = attach(server)
    t.after(() => second.close())
    assert.notEqual(second, first)
    await closed
    await listen(server, port)
    await connect(t, `http://127.0.0.1:${port}`)
  })

  test('makes a new io after io.close()', async (t) => {
    const server = pages()
    const first = attach(server)
    let url = `http://127.0.0.1:${await listen(server)}`
    await connect(t, url)
    await first.close()
    const second = attach(server)
    assert.notEqual(second, first)
    assert.equal(attach(server), second)
    t.after(() => second.close())
    second.on('connection', (socket) => socket.on('who', (ack) => ack('second')))
    url = `http://127.0.0.1:${await listen(server)}`
    for (const { transports } of TRANSPORTS) {
      const near = await connect(t, url, { transports })
      assert.equal(await near.timeout(5000).emitWithAck('who'), 'second')
    }
    assert.equal(first.engine.clientsCount, 0)
    assert.equal(second.engine.clientsCount, TRANSPORTS.length)
  })

  test('throws for a value that is not a server, and for options that are not an object', () => {
    for (const server of [undefined, null, 3000, {}, 'http', [], () => {}]) {
      assert.throws(() => attach(server), { name: 'TypeError', code: 'ERR_UPWIRE_INVALID_SERVER' })
    }
    // An Express app is such a function.
    const app = Object.assign((_req, _res) => {}, { emit() {}, listen() {} })
    for (const handler of [(_req, _res) => {}, app]) {
      assert.throws(() => attach(handler), /request handler/)
    }
    for (const opts of [null, 'path', 5, true]) {
      assert.throws(() => attach(createServer(), opts), {
        name: 'TypeError',
        code: 'ERR_UPWIRE_INVALID_OPTION',
      })
    }
  })

  test('takes an undefined path for /socket.io', async (t) => {
    const { url } = await serve(t, { path: undefined })
    await connect(t, url)
  })

  test('works on a server that is already listening', async (t) => {
    const server = pages()
    const url = `http://127.0.0.1:${await listen(server)}`
    assert.equal(
      (await fetchText(`${url}/socket.io/?EIO=4&transport=polling`)).text,
      'page /socket.io/?EIO=4&transport=polling',
    )
    const io = attach(server)
    t.after(() => io.close())
    for (const { transports } of TRANSPORTS) await connect(t, url, { transports })
  })
})

describe('Engine.attach', () => {
  test('throws for a path that another engine has, until that engine is closed', async (t) => {
    const server = pages()
    const first = new Engine()
    first.attach(server, { path: '/e' })
    const second = new Engine()
    const refusal = { name: 'Error', code: 'ERR_UPWIRE_PATH_IN_USE', message: /\/e\// }
    assert.throws(() => second.attach(server, { path: '/e' }), refusal)
    assert.throws(() => second.attach(server, { path: '/e/' }), refusal)
    assert.throws(() => attach(server, { path: '/e' }), refusal)
    second.attach(server, { path: '/f' })
    const third = new Engine()
    first.close()
    third.attach(server, { path: '/e' })
    const url = `http://127.0.0.1:${await listen(server)}`
    t.after(async () => {
      for (const engine of [second, third]) engine.close()
      await shut(server)
    })
    await enginePair(t, { engine: second, url }, { path: '/f', transports: ['websocket'] })
    await enginePair(t, { engine: third, url }, { path: '/e', transports: ['polling'] })
    assert.deepEqual(
      [first, second, third].map(({ clientsCount }) => clientsCount),
      [0, 1, 1],
    )
  })

  test('leaves other paths of the server free after an attach() that throws', async (t) => {
    const server = pages()
    const engine = new Engine()
    engine.attach(server, { path: '/e' })
    assert.throws(() => attach(server, { path: '/e' }), { code: 'ERR_UPWIRE_PATH_IN_USE' })
    assert.throws(() => attach(server, { path: '/e' }), { code: 'ERR_UPWIRE_PATH_IN_USE' }, 'again')
    const io = attach(server)
    const url = `http://127.0.0.1:${await listen(server)}`
    t.after(() => {
      engine.close()
      return io.close()
    })
    await connect(t, url)
  })

  test('has engine.io’s default path, /engine.io', async (t) => {
    const server = pages()
    const engine = new Engine()
    engine.attach(server)
    const url = `http://127.0.0.1:${await listen(server)}`
    t.after(async () => {
      engine.close()
      await shut(server)
    })
    await enginePair(t, { engine, url }, { transports: ['websocket'] })
  })

  test('attaches one engine to two servers', async (t) => {
    const engine = new Engine()
    const servers = [pages(), pages()]
    for (const server of servers) engine.attach(server)
    const ports = [await listen(servers[0]), await listen(servers[1])]
    t.after(async () => {
      engine.close()
      for (const server of servers) await shut(server)
    })
    for (const port of ports) {
      await enginePair(
        t,
        { engine, url: `http://127.0.0.1:${port}` },
        { transports: ['polling', 'websocket'] },
      )
    }
    assert.equal(engine.clientsCount, 2)
  })
})

describe('engine.io’s module functions', () => {
  test('Engine.attach() makes an engine on a server', async (t) => {
    const server = pages()
    const engine = Engine.attach(server, { path: '/e', pingInterval: 1000 })
    t.after(async () => {
      engine.close()
      await shut(server)
    })
    assert.ok(engine instanceof Engine)
    assert.equal(engine.opts.pingInterval, 1000)
    assert.equal(engine.httpServer, undefined)
    const url = `http://127.0.0.1:${await listen(server)}`
    await enginePair(t, { engine, url }, { path: '/e', transports: ['websocket'] })
  })

  for (const options of [undefined, { pingInterval: 1000 }]) {
    test(`Engine.listen() makes a server of its own, ${options ? 'with' : 'without'} options`, async (t) => {
      let engine
      const listening = new Promise((resolve) => {
        engine = options ? Engine.listen(0, options, resolve) : Engine.listen(0, resolve)
      })
      t.after(async () => {
        engine.close()
        await shut(engine.httpServer)
      })
      await listening
      assert.equal(engine.opts.pingInterval, options?.pingInterval ?? 25_000)
      const url = `http://127.0.0.1:${engine.httpServer.address().port}`
      for (const { transports } of TRANSPORTS) await enginePair(t, { engine, url }, { transports })
      assert.equal((await fetchText(url)).status, 501)
    })
  }

  test('upgrades() names the transports that a session may upgrade to', () => {
    assert.deepEqual(new Engine().upgrades('polling'), ['websocket'])
    assert.deepEqual(new Engine().upgrades('websocket'), [])
    assert.deepEqual(new Engine({ allowUpgrades: false }).upgrades('polling'), [])
    assert.deepEqual(new Engine({ transports: ['polling'] }).upgrades('polling'), [])
  })

  test('Engine.protocol is the version of the protocol', () => {
    assert.equal(Engine.protocol, 4)
  })
})

describe('the client bundle', () => {
  test('is served on upwire’s path, with its source map and an ETag', async (t) => {
    const { url } = await serve(t)
    for (const file of ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js']) {
      const { status, headers, text } = await fetchText(`${url}/socket.io/${file}`)
      assert.equal(status, 200, file)
      assert.match(headers['content-type'], /javascript/)
      assert.ok(text.length > 10_000)
      const again = await fetchText(`${url}/socket.io/${file}`, {
        headers: { 'If-None-Match': headers.etag },
      })
      assert.equal(again.status, 304)
      const versioned = await fetchText(`${url}/socket.io/${file}?v=1`)
      assert.equal(versioned.status, 200)
    }
    assert.equal((await fetchText(`${url}/socket.io/socket.io.js.map`)).status, 200)
  })

  test('follows the path', async (t) => {
    const { url } = await serve(t, { path: '/api/io' })
    assert.equal((await fetchText(`${url}/api/io/socket.io.js`)).status, 200)
    assert.equal(
      (await fetchText(`${url}/socket.io/socket.io.js`)).text,
      'page /socket.io/socket.io.js',
    )
  })

  test('is not served with serveClient: false', async (t) => {
    const { url } = await serve(t, { serveClient: false })
    assert.equal(
      (await fetchText(`${url}/socket.io/socket.io.js`)).text,
      'page /socket.io/socket.io.js',
    )
    const bare = await serve(t, { serveClient: false }, createServer())
    assert.equal((await fetchText(`${bare.url}/socket.io/socket.io.js`)).status, 400)
  })
})
