'use strict'

// For `node --require upwire/preload`: clients that connect while the server boots wait for the app.

require('./lib/next/early-claim').claimEarly()
