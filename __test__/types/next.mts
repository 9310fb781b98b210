// upwire/next as an app uses it.

import { type AttachedServer, attach, type Setup } from 'upwire'
import { getIO, registerUpwire, socketRoute, withUpwire } from 'upwire/next'
import 'upwire/preload'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'

interface ClientEvents {
  say: (text: string) => void
}

interface ServerEvents {
  said: (text: string) => void
}

registerUpwire()
registerUpwire({ path: '/live', pingInterval: 10_000, match: (server) => server.listening })

registerUpwire<ClientEvents, ServerEvents>({}, (io) => {
  io.on('connection', (socket) => {
    socket.on('say', (text) => io.emit('said', text.trim()))
    // @ts-expect-error the events are the app's
    socket.on('sing', () => {})
  })
  return () => io.disconnectSockets()
})

// @ts-expect-error a match decides about a server
registerUpwire({ match: (server: string) => server === '' })

getIO<ClientEvents, ServerEvents>()?.emit('said', 'hello')
getIO<ClientEvents, ServerEvents>('/live')?.emit('said', 'hello')
// @ts-expect-error the text is a string
getIO<ClientEvents, ServerEvents>()?.emit('said', 1)
getIO()?.engine.stats().sessions.toFixed()
// @ts-expect-error there is no server in a build
getIO().emit('said', 'hello')
const io = getIO<ClientEvents, ServerEvents>()
if (io) io satisfies AttachedServer<ClientEvents, ServerEvents>

declare const server: Server
const setup: Setup<ClientEvents, ServerEvents> = (io) => {
  io.emit('said', 'hello')
}
attach<ClientEvents, ServerEvents>(server, {}, setup)
attach<ClientEvents, ServerEvents>(server, {}, async (io) => {
  io.emit('said', 'hello')
})

// A setup returns nothing, or a function that cleans up; or a promise of either.
const cleanUp = () => {}
const results = [() => {}, () => cleanUp, async () => {}, async () => cleanUp] satisfies Setup[]
for (const each of results) attach(server, {}, each)
// @ts-expect-error a number cannot clean up
registerUpwire({}, () => 1)
// @ts-expect-error nor can a promise of a text
socketRoute({}, async () => 'done')

// As in the types of Next.js.
type NextApiHandler = (
  request: IncomingMessage & { query: Partial<Record<string, string | string[]>> },
  response: ServerResponse & { status: (code: number) => unknown },
) => unknown
const route = socketRoute<ClientEvents, ServerEvents>({ path: '/api/socket' }, setup)
export const handler: NextApiHandler = route
// @ts-expect-error a path is a string
socketRoute({ path: 1 })

const config = { reactStrictMode: true }
withUpwire(config) satisfies typeof config
withUpwire(Promise.resolve(config)) satisfies Promise<typeof config>
withUpwire(() => config, { path: '/live' })
withUpwire()
const result: typeof config | Promise<typeof config> = withUpwire(async () => config)('phase', {})
void result
// @ts-expect-error a path is a string
withUpwire(config, { path: 1 })
