// The engine alone answers the upgrades on its path, whatever else listens, unless a listener was prepended
// after attach; all others reach their listeners untouched (docs/protocol.md#other-upgrades-and-descriptors).

import assert from 'node:assert/strict'
import http from 'node:http'
import { describe, test } from 'node:test'
import { attach, Engine } from 'upwire'
import { connect, pair, works } from '../support/clients.mjs'
import { event, until } from '../support/events.mjs'
import { fetchText, upgrade } from '../support/http.mjs'
import { Peer } from '../support/peer.mjs'
import { listen, pages, shut, track } from '../support/servers.mjs'

/** A listener like Next.js's: it ends every socket that it does not know. */
function hostile(seen) {
  return (req, socket) => {
    seen.push(req.url)
    socket.end()
  }
}

/** A server with upwire on it; it is closed when the test ends. */
async function served(
  t,
  { server = pages(), opts = {}, before = () => {}, after = () => {} } = {},
) {
  before(server)
  const io = attach(server, { destroyUpgradeTimeout: 100, ...opts })
  after(server)
  track(server)
  const port = await listen(server)
  t.after(async () => {
    io.engine.close()
    await shut(server)
  })
  return { server, io, port }
}

/** A bare TCP connection that sends one request. */
async function raw(t, port, text) {
  const peer = await Peer.connect(port)
  t.after(() => peer.destroy())
  return peer.write(text)
}

function unknownUpgrade(path = '/unknown') {
  return `GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
}

describe('a listener that ends every socket it does not know', () => {
  for (const method of ['on', 'prependListener', 'once']) {
    for (const when of ['before', 'after']) {
      // A listener that is prepended after attach is the first.
      if (method === 'prependListener' && when === 'after') continue
      test(`added ${when} attach with ${method} changes nothing for our clients`, async (t) => {
        const seen = []
        const { io, port } = await served(t, {
          [when]: (server) => server[method]('upgrade', hostile(seen)),
        })
        await works(t, io, `http://127.0.0.1:${port}`)
        assert.deepEqual(seen, [])
        // The listener is still there for other upgrades.
        const other = await raw(t, port, unknownUpgrade())
        await other.ending()
        assert.deepEqual([seen, other.unread], [['/unknown'], ''])
        await works(t, io, `http://127.0.0.1:${port}`)
      })
    }
  }

  test('changes nothing when it surrounds two paths', async (t) => {
    const seen = { before: [], between: [], after: [], late: [] }
    const server = pages()
    server.on('upgrade', hostile(seen.before))
    const a = attach(server, { path: '/a', destroyUpgradeTimeout: 100 })
    server.on('upgrade', hostile(seen.between))
    const b = attach(server, { path: '/b', destroyUpgradeTimeout: 100 })
    server.on('upgrade', hostile(seen.after))
    const port = await listen(server)
    t.after(async () => {
      a.engine.close()
      b.engine.close()
      await shut(server)
    })
    await works(t, a, `http://127.0.0.1:${port}`, { path: '/a' })
    server.on('upgrade', hostile(seen.late))
    await works(t, b, `http://127.0.0.1:${port}`, { path: '/b' })
    for (const urls of Object.values(seen)) assert.deepEqual(urls, [])
    const other = await raw(t, port, unknownUpgrade('/c'))
    await other.ending()
    other.destroy()
    for (const urls of Object.values(seen)) assert.deepEqual(urls, ['/c'])
  })

  test('changes nothing when it acts later, as Next.js does', async (t) => {
    const { io, port } = await served(t, {
      after: (server) =>
        server.on('upgrade', async (_req, socket) => {
          await new Promise((resolve) => setTimeout(resolve, 20))
          socket.end()
        }),
    })
    await works(t, io, `http://127.0.0.1:${port}`)
  })

  test('can be removed with all upgrade listeners without removing the engine’s', async (t) => {
    const seen = []
    const { server, io, port } = await served(t, {
      before: (each) => each.on('upgrade', hostile(seen)),
    })
    server.removeAllListeners('upgrade')
    await works(t, io, `http://127.0.0.1:${port}`)
    const unknown = await upgrade(`http://127.0.0.1:${port}`, { path: '/unknown' })
    assert.equal(unknown.status, 404)
    assert.deepEqual(seen, [])
    server.on('upgrade', hostile(seen))
    await works(t, io, `http://127.0.0.1:${port}`)
    assert.deepEqual(seen, [])
  })

  test('can be removed with all listeners, as long as Node’s own stay', async (t) => {
    const { server, io, port } = await served(t)
    const own = server.listeners('connection')
    server.removeAllListeners()
    for (const listener of own) server.on('connection', listener)
    await works(t, io, `http://127.0.0.1:${port}`)
    assert.equal((await upgrade(`http://127.0.0.1:${port}`, { path: '/unknown' })).status, 404)
  })

  test('is unaffected by removing the listeners that attach added', async (t) => {
    const { server, io, port } = await served(t)
    for (const listener of server.listeners('upgrade')) server.off('upgrade', listener)
    await works(t, io, `http://127.0.0.1:${port}`)
  })
})

describe('upgrades of others', () => {
  /** Accepts an upgrade and echoes its bytes. */
  function echoing(path, log) {
    return function (req, socket, head) {
      log.push([path, req.url, this instanceof http.Server, String(head)])
      if (req.url !== path) return
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n',
      )
      socket.write(head)
      socket.pipe(socket)
    }
  }

  test('reach all listeners in order, with their arguments', async (t) => {
    const log = []
    const { io, port } = await served(t, {
      before: (server) => server.on('upgrade', echoing('/one', log)),
      after: (server) => {
        server.on('upgrade', echoing('/two', log))
        server.prependListener('upgrade', echoing('/zero', log))
      },
    })
    const other = await raw(t, port, `${unknownUpgrade('/two')}early`)
    await until(() => other.unread.endsWith('early'), 'the early bytes')
    assert.deepEqual(log, [
      ['/zero', '/two', true, 'early'],
      ['/one', '/two', true, 'early'],
      ['/two', '/two', true, 'early'],
    ])
    other.write('more')
    await until(() => other.unread.endsWith('earlymore'), 'the echo')
    await works(t, io, `http://127.0.0.1:${port}`)
    // Still open, long after destroyUpgradeTimeout.
    await upgrade(`http://127.0.0.1:${port}`, { path: '/nobody' })
    other.write('!')
    await until(() => other.unread.endsWith('earlymore!'), 'the last echo')
    const ours = log.filter(([, url]) => url.startsWith('/socket.io'))
    assert.deepEqual([...new Set(ours.map(([path]) => path))], ['/zero'])
  })

  test('are not ended while a listener may still answer', async (t) => {
    const signs = {
      data: (socket) => socket.on('data', () => {}),
      end: (socket) => socket.on('end', () => {}),
      readable: (socket) => socket.on('readable', () => {}),
      once: (socket) => socket.once('data', () => {}),
      write: (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
      pipe: (socket) => socket.pipe(new http.OutgoingMessage()).on('error', () => {}),
    }
    const sockets = {}
    const { port } = await served(t, {
      after: (server) =>
        server.on('upgrade', (req, socket) => {
          const [, name, when] = req.url.split('/')
          sockets[req.url] = socket
          if (when === 'at-once') signs[name]?.(socket)
          else setTimeout(() => signs[name]?.(socket), 10)
        }),
    })
    const open = []
    for (const name of Object.keys(signs)) {
      for (const when of ['at-once', 'later']) {
        open.push([`/${name}/${when}`, await raw(t, port, unknownUpgrade(`/${name}/${when}`))])
      }
    }
    await until(() => Object.keys(sockets).length === open.length, 'all upgrades')
    // The upgrade without an answer shows when the time of the others is over.
    const start = performance.now()
    const control = await upgrade(`http://127.0.0.1:${port}`, { path: '/nothing/at-once' })
    const took = performance.now() - start
    assert.equal(control.status, 404)
    assert.ok(took >= 95, `not before destroyUpgradeTimeout: ${took} ms`)
    for (const [name, peer] of open) {
      assert.equal(peer.ended, undefined, name)
      assert.ok(!peer.unread.includes('404'), name)
    }
  })

  test('that nobody answers get 404 and an end, also with an error listener on them', async (t) => {
    const { port, io } = await served(t, {
      after: (server) =>
        server.on('upgrade', (_req, socket) => socket.on('error', () => {}).on('close', () => {})),
    })
    const answer = await upgrade(`http://127.0.0.1:${port}`, { path: '/unknown' })
    assert.equal(answer.status, 404)
    assert.equal(answer.headers.connection, 'close')
    assert.equal(Number(answer.headers['content-length']), answer.text.length)
    const ended = await raw(t, port, unknownUpgrade())
    await ended.ending()
    assert.match(ended.unread, /^HTTP\/1\.1 404 Not Found\r\n/)
    await works(t, io, `http://127.0.0.1:${port}`)
  })

  test('with destroyUpgrade: false are left alone', async (t) => {
    const left = await served(t, { opts: { destroyUpgrade: false, destroyUpgradeTimeout: 10 } })
    const arrival = event(left.server, 'connection')
    const other = await raw(t, left.port, unknownUpgrade())
    await arrival
    const control = await served(t, { opts: { destroyUpgradeTimeout: 100 } })
    assert.equal((await upgrade(`http://127.0.0.1:${control.port}`, { path: '/x' })).status, 404)
    assert.deepEqual([other.ended, other.unread], [undefined, ''])
  })

  test('do no harm when their client resets meanwhile', async (t) => {
    const { io, port, server } = await served(t)
    for (let n = 0; n < 5; n++) {
      const arrival = event(server, 'upgrade')
      const other = await raw(t, port, unknownUpgrade())
      await arrival
      other.reset()
    }
    assert.equal((await upgrade(`http://127.0.0.1:${port}`, { path: '/x' })).status, 404)
    await works(t, io, `http://127.0.0.1:${port}`)
  })

  for (const [opts, hmr] of [
    [{ path: '/_next', addTrailingSlash: false }, '/_next/webpack-hmr'],
    [{ path: '/' }, '/_next/hmr?id=1'],
    [{ path: '/chat' }, '/chat/_next/hmr'],
    [{ path: '/chat', addTrailingSlash: false }, '/chat/_next/webpack-hmr'],
  ]) {
    test(`for ${hmr} are never the engine’s, with ${JSON.stringify(opts)}`, async (t) => {
      const log = []
      const { port } = await served(t, {
        opts,
        after: (server) => server.on('upgrade', echoing(hmr, log)),
      })
      const other = await raw(t, port, unknownUpgrade(hmr))
      await until(() => other.unread.includes('101'), 'the answer')
      assert.equal(log.length, 1)
    })
  }
})

describe('targets that are not paths', () => {
  for (const target of [
    'http://127.0.0.1/socket.io/?EIO=4&transport=websocket',
    'http://evil.example/',
    'https://x/',
    '*',
    'evil.example:80',
  ]) {
    test(`an upgrade of ${target} gets 400 before any listener sees it`, async (t) => {
      const seen = []
      const { port, io } = await served(t, {
        before: (server) => server.prependListener('upgrade', hostile(seen)),
        after: (server) => server.on('upgrade', hostile(seen)),
      })
      const other = await raw(t, port, unknownUpgrade(target))
      await other.ending()
      assert.match(other.unread, /^HTTP\/1\.1 400 Bad Request\r\n/)
      assert.deepEqual(seen, [])
      await works(t, io, `http://127.0.0.1:${port}`)
    })
  }

  test('requests with such targets go to the app', async (t) => {
    const { port } = await served(t)
    const other = await raw(
      t,
      port,
      'GET http://x/y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    )
    await other.ending()
    assert.match(other.unread, /^HTTP\/1\.1 200 OK/)
    assert.ok(other.unread.includes('page http://x/y'))
  })
})

describe('requests', () => {
  test('to the engine reach no listener but prepended ones, and pages reach all in order', async (t) => {
    const seen = []
    const listener = (name) => (req) => seen.push([name, req.url])
    const { io, port, server } = await served(t, {
      before: (each) => each.on('request', listener('before')),
    })
    server.on('request', listener('after'))
    server.prependListener('request', listener('first'))
    await works(t, io, `http://127.0.0.1:${port}`)
    assert.deepEqual([...new Set(seen.map(([name]) => name))], ['first'])
    seen.length = 0
    assert.equal((await fetchText(`http://127.0.0.1:${port}/p`)).text, 'page /p')
    assert.deepEqual(seen, [
      ['first', '/p'],
      ['before', '/p'],
      ['after', '/p'],
    ])
  })

  test('to the engine are answered after all request listeners are removed', async (t) => {
    const { io, port, server } = await served(t)
    server.removeAllListeners('request')
    await works(t, io, `http://127.0.0.1:${port}`)
  })

  test('and all other events of the server pass unchanged', async (t) => {
    const { server, port } = await served(t)
    const got = []
    server.on('custom', (...args) => got.push(args))
    assert.equal(server.emit('custom', 1, 2, 3, 4, 5), true)
    assert.equal(server.emit('nobody listens'), false)
    assert.deepEqual(got, [[1, 2, 3, 4, 5]])
    server.on('checkContinue', (req, res) => {
      res.writeContinue()
      res.end(`continued ${req.url}`)
    })
    const expecting = await raw(
      t,
      port,
      'POST /c HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx',
    )
    await expecting.ending()
    assert.ok(expecting.unread.includes('continued /c'))
    server.on('connect', (_req, socket) => socket.end('HTTP/1.1 501 No\r\n\r\n'))
    const connecting = await raw(t, port, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')
    await connecting.ending()
    assert.match(connecting.unread, /501/)
  })

  test('to upgrade on the engine’s path get 400 without WebSocket', async (t) => {
    const seen = []
    const { io, port } = await served(t, {
      opts: { transports: ['polling'] },
      after: (server) => server.on('upgrade', hostile(seen)),
    })
    const { status, text } = await upgrade(`http://127.0.0.1:${port}`)
    assert.deepEqual([status, text], [400, 'Transport unknown'])
    assert.deepEqual(seen, [])
    const { near } = await pair(
      t,
      { io, url: `http://127.0.0.1:${port}` },
      { transports: ['polling'] },
    )
    near.close()
  })
})

describe('a WebSocket taken over from Node', () => {
  test('is no longer counted, closed or touched by Node', async (t) => {
    const sockets = []
    const { io, port, server } = await served(t)
    server.on('connection', (socket) => sockets.push(socket))
    const url = `http://127.0.0.1:${port}`
    const { near, far } = await pair(t, { io, url }, { transports: ['websocket'] })
    await until(() => sockets[0].destroyed, 'Node’s socket to be closed')
    const count = () =>
      new Promise((resolve) => server.getConnections((_error, value) => resolve(value)))
    await until(async () => (await count()) === 0, 'no connections to be counted')
    server.closeAllConnections()
    far.on('echo', (value, ack) => ack(value))
    assert.equal(await near.timeout(5000).emitWithAck('echo', 'alive'), 'alive')
  })

  test('appears to a wrapper around emit, installed before or after, as without upwire', async (t) => {
    const seen = []
    const wrap = (server, name) => {
      const { emit } = server
      server.emit = function (type, ...args) {
        if (type === 'request' || type === 'upgrade') seen.push([name, type])
        return emit.call(this, type, ...args)
      }
    }
    const { io, port } = await served(t, {
      before: (server) => wrap(server, 'inner'),
      after: (server) => wrap(server, 'outer'),
    })
    await connect(t, `http://127.0.0.1:${port}`, { transports: ['websocket'] })
    assert.deepEqual(seen, [
      ['outer', 'upgrade'],
      ['inner', 'upgrade'],
    ])
    await fetchText(`http://127.0.0.1:${port}/page`)
    assert.deepEqual(seen.slice(2), [
      ['outer', 'request'],
      ['inner', 'request'],
    ])
    await works(t, io, `http://127.0.0.1:${port}`)
  })

  test('is followed by the next engine on the path once its engine is closed', async (t) => {
    const server = pages()
    const port = await listen(server)
    t.after(() => shut(server))
    for (let round = 0; round < 3; round++) {
      const engine = new Engine()
      engine.attach(server)
      const arrival = event(engine, 'connection')
      const answer = await upgrade(`http://127.0.0.1:${port}`, {
        path: '/engine.io/?EIO=4&transport=websocket',
      })
      assert.equal(answer.status, 101)
      await arrival
      engine.close()
    }
    assert.equal((await fetchText(`http://127.0.0.1:${port}/page`)).text, 'page /page')
  })
})
