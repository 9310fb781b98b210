// What frameworks pass to attach(): socket.io's own option types, and servers of other modules.

import { createServer, type Server as HttpServer } from 'node:http'
import {
  createSecureServer,
  createServer as createHttp2Server,
  type Http2SecureServer,
  type Http2Server,
} from 'node:http2'
import type { ServerOptions } from 'socket.io'
import { attach, Engine, type AttachOptions } from 'upwire'

/** As @hono/node-server declares it. */
type ServerType = HttpServer | Http2Server | Http2SecureServer

declare const served: ServerType
attach(served)
attach(served, { path: '/chat' })
attach(createSecureServer({ allowHTTP1: true }))
new Engine().attach(createHttp2Server())

/** The signature of IoAdapter.createIOServer in @nestjs/platform-socket.io. */
class Adapter {
  readonly #server = createServer()

  createIOServer(_port: number, options?: ServerOptions & { namespace?: string }) {
    return attach(this.#server, options)
  }
}

/** An app's adapter changes some options. */
class CorsAdapter extends Adapter {
  override createIOServer(port: number, options?: ServerOptions) {
    const changed = { ...options, cors: { origin: '*' } } as ServerOptions
    return super.createIOServer(port, changed)
  }
}
new CorsAdapter().createIOServer(3000)

declare const partial: Partial<ServerOptions>
declare const complete: ServerOptions
attach(served, partial)
attach(served, complete)
attach(served, { ...partial, cors: { origin: '*' }, maxSessions: 10 })
attach(served, { ...complete, transports: ['websocket'] })
function withDefaults(options?: Partial<ServerOptions>) {
  return attach(served, { pingInterval: 1000, ...options })
}
withDefaults({ cors: { origin: true } })

// An app's own options, without a type of ours.
const inferred = { path: '/chat', pingInterval: 1000, cors: { origin: ['https://app.example'] } }
attach(served, inferred)
inferred satisfies AttachOptions

// Mistakes are found beside options of either type.
// @ts-expect-error the values are 'close' and 'drop'
attach(served, { path: '/chat', slowConsumer: 'wait' })
// @ts-expect-error a misspelt option
attach(served, { path: '/chat', pingIntervall: 1000 })
// @ts-expect-error milliseconds are a number
attach(served, { ...partial, handshakeTimeout: '1s' })
// @ts-expect-error a port is not a server
attach(3000, partial)
