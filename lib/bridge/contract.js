'use strict'

// What JavaScript and Rust agree on: numbers, names and defaults. Rust defines them, and the build
// writes them to a file, because some of their users must not load the addon.

module.exports = require('../../native/contract')
