'use strict'

// Bundlers take this file for the edge runtime and for browsers, where neither the addon nor a server
// exists. Next.js compiles instrumentation files for the edge runtime too, and may run them there.

function refuse(name) {
  const error = new Error(
    `upwire: ${name}() needs the Node.js runtime; remove \`runtime = 'edge'\`, or use getIO() from ` +
      'a Node route',
  )
  error.code = 'ERR_UPWIRE_EDGE'
  throw error
}

function attach() {
  refuse('attach')
}

function getIO() {
  refuse('getIO')
}

function registerUpwire() {}

function socketRoute() {
  refuse('socketRoute')
}

function withUpwire() {
  refuse('withUpwire')
}

class Engine {
  constructor() {
    refuse('Engine')
  }

  static attach() {
    refuse('Engine.attach')
  }

  static listen() {
    refuse('Engine.listen')
  }
}

class EngineSocket {
  constructor() {
    refuse('EngineSocket')
  }
}

module.exports = { attach, Engine, EngineSocket, getIO, registerUpwire, socketRoute, withUpwire }
