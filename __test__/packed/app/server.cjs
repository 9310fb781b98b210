const { createServer } = require('node:http')
const next = require('next')
const { attach } = require('upwire')

const app = next({ dev: false })

app.prepare().then(() => {
  const server = createServer(app.getRequestHandler())
  attach(server).on('connection', (socket) => {
    socket.on('echo', (value, reply) => reply(value))
  })
  server.listen(0, () => console.log(`port ${server.address().port}`))
})
