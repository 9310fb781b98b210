// A TCP proxy that delays the bytes it forwards, each direction of each connection by its own rule,
// and never reorders them.

import net from 'node:net'
import { listen } from './servers.mjs'

/**
 * @param {import('node:test').TestContext} t
 * @param {number} target port to connect to
 * @param {() => { up: () => number, down: () => number }} delays called once per connection; `up` and
 *   `down` return the milliseconds by which to delay the next chunk of that direction
 */
export async function proxy(t, target, delays) {
  const streams = new Set()
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ port: target, host: '127.0.0.1', allowHalfOpen: true })
    const { up, down } = delays()
    pass(near, far, up)
    pass(far, near, down)
    for (const stream of [near, far]) {
      stream.setNoDelay(true)
      streams.add(stream)
      stream.on('error', () => {})
      stream.on('close', () => {
        streams.delete(stream)
        near.destroy()
        far.destroy()
      })
    }
  })
  const port = await listen(server)
  t.after(() => {
    for (const stream of streams) stream.destroy()
    server.close()
  })
  return { port, url: `http://127.0.0.1:${port}` }
}

/** Forwards chunks in order, each after its delay. */
function pass(from, to, delay) {
  let free = Promise.resolve()
  const later = (action) => {
    const held = new Promise((resolve) => {
      const ms = delay()
      if (ms > 0) setTimeout(resolve, ms)
      else resolve()
    })
    free = Promise.all([free, held]).then(action)
  }
  from.on('data', (chunk) => later(() => to.writable && to.write(chunk)))
  from.on('end', () => later(() => to.writable && to.end()))
}
