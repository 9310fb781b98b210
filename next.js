'use strict'

const { withUpwire } = require('./lib/next/config')
const { getIO, registerUpwire } = require('./lib/next/register')

module.exports = { getIO, registerUpwire, withUpwire }
