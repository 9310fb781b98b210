'use strict'

const { attach } = require('./lib/attach')
const { Engine } = require('./lib/engine')
const { EngineSocket } = require('./lib/engine-socket')

module.exports = { Engine, EngineSocket, attach }
