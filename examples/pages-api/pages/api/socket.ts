import type { Server as HttpServer } from 'node:http'
import type { Socket } from 'node:net'
import type { NextApiRequest, NextApiResponse } from 'next'
import { attach, type Setup } from 'upwire'
import type { ClientToServer, ServerToClient } from '@/shared/events'
import { cleanText } from '@/shared/text'

/** Node's types do not declare that a connection has the server that accepted it. */
type ServerResponse = NextApiResponse & { socket: Socket & { server: HttpServer } }

/**
 * The page calls this route before it connects. From the second call on, `attach()` changes nothing, unless
 * `setUp` was edited under `next dev`: then the new function replaces the old one.
 */
export default function handler(_req: NextApiRequest, res: ServerResponse) {
  attach(res.socket.server, { path: '/api/socket', addTrailingSlash: false }, setUp)
  res.end()
}

const setUp: Setup<ClientToServer, ServerToClient> = (io) => {
  const tellPeople = () => io.emit('people', io.of('/').sockets.size)
  io.on('connection', (socket) => {
    tellPeople()
    socket.on('disconnect', tellPeople)
    socket.on('say', (value) => {
      const text = cleanText(value)
      if (text) io.emit('message', { author: socket.id, text })
    })
  })
}
