'use strict'

// For `node --require upwire/preload`: clients that connect while the server boots wait for it.

require('./lib/next/early-claim').holdEarly()
