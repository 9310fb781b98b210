'use strict'

const { withUpwire } = require('./lib/next/config')
const { getIO, registerUpwire } = require('./lib/next/register')
const { socketRoute } = require('./lib/next/route')

module.exports = { getIO, registerUpwire, socketRoute, withUpwire }
