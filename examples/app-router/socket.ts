import { registerUpwire } from 'upwire/next'
import type { ClientToServer, ServerToClient } from '@/shared/events'
import { cleanText } from '@/shared/text'

registerUpwire<ClientToServer, ServerToClient>({}, (io) => {
  const tellPeople = () => io.emit('people', io.of('/').sockets.size)
  io.on('connection', (socket) => {
    tellPeople()
    socket.on('disconnect', tellPeople)
    socket.on('say', (value) => {
      const text = cleanText(value)
      if (text) io.emit('message', { author: socket.id, text })
    })
  })
})
