// Connections without a descriptor, as @socket.io/sticky passes them to a worker: a plain Duplex that
// a front server feeds.

import net from 'node:net'
import { Duplex } from 'node:stream'
import { listen } from './servers.mjs'

/** A Duplex over a TCP connection, which shares only the addresses with a socket. */
class Bridge extends Duplex {
  #stream

  constructor(stream) {
    super({ allowHalfOpen: false, highWaterMark: 16 * 1024 })
    this.#stream = stream
    this.remoteAddress = stream.remoteAddress
    stream.on('data', (chunk) => {
      if (!this.push(chunk)) stream.pause()
    })
    stream.on('end', () => this.push(null))
    stream.on('error', (error) => this.destroy(error))
    stream.on('close', () => this.destroy())
  }

  _read() {
    this.#stream.resume()
  }

  _write(chunk, _encoding, done) {
    if (this.#stream.write(chunk)) return done()
    this.#stream.once('drain', done)
  }

  _final(done) {
    this.#stream.end(done)
  }

  _destroy(error, done) {
    this.#stream.destroy()
    done(error)
  }
}

/**
 * A front server for an HTTP server that does not listen itself.
 * @param {import('node:test').TestContext} t
 */
export async function front(t, server) {
  const streams = new Set()
  const bridges = []
  const tcp = net.createServer({ allowHalfOpen: true }, (stream) => {
    streams.add(stream)
    const bridge = new Bridge(stream)
    bridges.push(bridge)
    server.emit('connection', bridge)
  })
  const port = await listen(tcp)
  t.after(() => {
    for (const stream of streams) stream.destroy()
    tcp.close()
  })
  return { port, url: `http://127.0.0.1:${port}`, bridges }
}
