'use strict'

// What bundlers get for the edge runtime and for browsers, where there is neither an addon nor a
// server. An instrumentation file is compiled, and may be run, for the edge runtime as well.

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
}

class EngineSocket {
  constructor() {
    refuse('EngineSocket')
  }
}

module.exports = { attach, Engine, EngineSocket, getIO, registerUpwire, socketRoute, withUpwire }
