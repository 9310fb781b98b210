// attach() from a CommonJS module.

import http = require('node:http')
import socketio = require('socket.io')
import upwire = require('upwire')

const server = http.createServer()

const io: socketio.Server = upwire.attach(server)
io.on('connection', (socket) => {
  socket.on('anything', (value: number) => value)
  socket.emit('anything', 1, 'two')
})

// @ts-expect-error the server is missing
upwire.attach()

// @ts-expect-error a request handler is not a server
upwire.attach(() => {})

// @ts-expect-error there is no default export
upwire.default(server)
