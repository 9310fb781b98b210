'use strict'

const { attach } = require('./lib/socketio/attach')
const { Engine } = require('./lib/engine/engine')
const { EngineSocket } = require('./lib/engine/engine-socket')

module.exports = { Engine, EngineSocket, attach }
