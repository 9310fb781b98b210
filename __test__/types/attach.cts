// attach() as CommonJS sees it.

import http = require('node:http')
import socketio = require('socket.io')
import upwire = require('upwire')

const server = http.createServer()

const io: socketio.Server = upwire.attach(server)
io.on('connection', (socket) => {
  socket.on('anything', (value: number) => value)
  socket.emit('anything', 1, 'two')
})

// @ts-expect-error a server is needed
upwire.attach()

// @ts-expect-error a request handler is no server
upwire.attach(() => {})

// @ts-expect-error there is no default export
upwire.default(server)
