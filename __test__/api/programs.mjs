// Servers that the API tests run in a process of their own.

import { readdirSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { attach, Engine } from 'upwire'
import { listen, pages } from '../support/servers.mjs'

/** Attaches and closes without ever listening. */
export async function unused(_argument, { tell }) {
  const io = attach(pages())
  await io.close()
  tell('closed')
}

/** Attaches and neither listens nor closes. */
export function forgotten(_argument, { tell }) {
  attach(pages())
  new Engine()
  tell('done')
}

/**
 * Closes by `io.close()`, `server.close()` or `engine.close()` on demand, and then ends by itself.
 */
export async function closing({ opts, how = 'io', answers = true }, { tell, hear }) {
  const server = pages()
  const io = attach(server, { ...opts, ...(answers ? {} : { allowRequest: () => tell('asked') }) })
  io.on('connection', (socket) => {
    socket.on('echo', (value, ack) => ack(value))
    socket.on('disconnect', (reason) => tell('disconnect', reason))
  })
  const port = await listen(server)
  hear('close', async () => {
    const start = performance.now()
    const closed = () => {
      tell('closed', performance.now() - start)
      process.disconnect()
    }
    if (how === 'io') io.close(closed)
    else if (how === 'server') server.close(closed)
    else {
      io.engine.close()
      server.close(closed)
    }
  })
  tell('port', port)
}

/** Two paths whose disconnect handlers throw. */
export async function failingAtEnd(_argument, { tell, hear }) {
  const server = pages()
  process.on('uncaughtException', ({ message }) => tell('caught', message))
  for (const path of ['/one', '/two']) {
    attach(server, { path }).on('connection', (socket) => {
      socket.on('disconnect', (reason) => {
        throw new Error(`${path} ${reason}`)
      })
    })
  }
  hear('close', () => server.close(() => tell('closed', server.listening)))
  hear('end', () => process.disconnect())
  tell('port', await listen(server))
}

/** Closes on SIGTERM as Next.js 14 does. */
export async function terminating(_argument, { tell }) {
  const server = pages()
  const io = attach(server)
  io.on('connection', () => {})
  const port = await listen(server)
  process.on('SIGTERM', () => server.close(() => process.exit(0)))
  tell('port', port)
}

/** Has no signal handlers. */
export async function mortal(_argument, { tell }) {
  const server = pages()
  attach(server)
  tell('port', await listen(server))
}

/** Exits inside a handler. */
export async function exiting({ where }, { tell }) {
  const server = pages()
  const io = attach(server)
  const leave = (place) => {
    if (place === where) process.exit(7)
  }
  io.engine.on('connection', () => leave('engine connection'))
  io.use((_socket, next) => {
    leave('middleware')
    next()
  })
  io.on('connection', (socket) => {
    leave('connection')
    socket.on('go', () => leave('message'))
    socket.conn.on('close', () => leave('close'))
  })
  process.on('exit', () => {
    // Nothing of upwire may disturb the app's last calls.
    io.emit('last', 'words')
    io.engine.clients
  })
  tell('port', await listen(server))
}

/** A listener throws, and nothing handles the error. */
export async function throwing({ where }, { tell }) {
  const server = pages()
  const io = attach(server)
  const fail = (place) => {
    if (place === where) throw new Error(`thrown in ${place}`)
  }
  io.engine.on('connection', () => fail('engine connection'))
  io.on('connection', (socket) => {
    fail('connection')
    socket.on('go', () => fail('message'))
    socket.emit('ask', () => fail('acknowledgement'))
    socket.on('disconnect', () => fail('disconnect'))
  })
  tell('port', await listen(server))
}

/** Listeners throw, and the app goes on after each error. */
export async function surviving(_argument, { tell, hear }) {
  const server = pages()
  const engine = new Engine({ pingInterval: 50 })
  engine.attach(server)
  const caught = []
  const rejected = []
  process.on('uncaughtException', (error) =>
    caught.push([error.message, /programs\.mjs/.test(error.stack)]),
  )
  process.on('unhandledRejection', (error) => rejected.push(error.message))
  const seen = {}
  let fails = {}
  const maybe = (place) => {
    if (fails[place] === undefined) return
    delete fails[place]
    throw new Error(`thrown in ${place}`)
  }
  for (const name of ['headers', 'initial_headers', 'connection_error', 'flush', 'drain']) {
    engine.on(name, () => maybe(name))
  }
  engine.on('connection', (socket) => {
    seen[socket.id] = []
    maybe('connection')
    for (const name of [
      'packet',
      'packetCreate',
      'heartbeat',
      'upgrading',
      'upgrade',
      'close',
      'flush',
      'drain',
    ]) {
      socket.on(name, () => maybe(`socket ${name}`))
    }
    socket.on('data', (data) => {
      seen[socket.id].push(String(data))
      if (data === 'throw') throw new Error('thrown in data')
      if (data === 'reject') Promise.reject(new Error('rejected in data'))
      if (data === 'reply') socket.send('reply', () => maybe('callback'))
    })
  })
  hear('fail', (places) => {
    fails = Object.fromEntries(places.map((place) => [place, true]))
    tell('set')
  })
  hear('report', () => {
    tell('report', {
      caught: caught.splice(0),
      rejected: rejected.splice(0),
      seen,
      clients: engine.clientsCount,
    })
  })
  tell('port', await listen(server))
}

/** Unreferences its server, so that only a session can keep the process alive. */
export async function unreferenced(_argument, { tell }) {
  const server = pages()
  const io = attach(server)
  io.on('connection', () => tell('connected'))
  const port = await listen(server)
  server.unref()
  // Until the test's client has connected.
  const waiting = setTimeout(() => {}, 10_000)
  io.on('connection', () => clearTimeout(waiting))
  process.channel.unref()
  tell('port', port)
}

const WORKER = `
import { createServer } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'
const { attach } = await import(workerData.upwire)
const server = createServer((req, res) => res.end('worker page'))
const io = attach(server)
io.on('connection', (socket) => {
  socket.on('echo', (value, ack) => ack(value))
  socket.on('flood', () => {
    const more = () => {
      for (let n = 0; n < 50; n++) socket.emit('data', 'x'.repeat(1000))
      setImmediate(more)
    }
    more()
  })
  socket.on('spin', () => { for (;;); })
})
parentPort.on('message', async () => {
  await io.close()
  parentPort.close()
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

/** Runs servers in workers beside one of its own. */
export async function workers(_argument, { tell, hear }) {
  const server = pages()
  const io = attach(server)
  io.on('connection', (socket) => socket.on('echo', (value, ack) => ack(value)))
  const running = new Map()
  let count = 0
  hear('start', async () => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(WORKER)}`), {
      workerData: { upwire: import.meta.resolve('upwire') },
    })
    worker.on('error', (error) => tell('worker error', String(error.stack)))
    const number = count++
    running.set(number, worker)
    const port = await new Promise((resolve) => worker.once('message', resolve))
    tell('started', { number, port })
  })
  hear('terminate', async (number) => {
    const start = performance.now()
    const code = await running.get(number).terminate()
    tell('terminated', { code, ms: performance.now() - start })
  })
  hear('end', (number) => {
    const worker = running.get(number)
    worker.once('exit', (code) => tell('ended', code))
    worker.postMessage('close')
  })
  hear('descriptors', () => tell('descriptors', readdirSync('/proc/self/fd').length))
  hear('quit', async () => {
    await io.close()
    process.disconnect()
  })
  tell('port', await listen(server))
}
