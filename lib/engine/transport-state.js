'use strict'

// The transport of a session, as one value. A session begins as `OnPolling` or `OnWebSocket`:
//
//   OnPolling ── probe() ──> Probing ── upgrade() ──> Upgraded
//       ^                       │
//       └──────── fail() ───────┘

const { SessionTransport } = require('../bridge/binding')

/** Polling is the transport. */
class OnPolling {
  name = 'polling'
  /** The state as the native check of requests needs it. */
  native = SessionTransport.Polling

  /** @param {import('../transports/polling-requests').PollingRequests} requests */
  constructor(requests) {
    this.requests = requests
  }

  /** A WebSocket has come, to be probed for an upgrade. */
  probe() {
    return new Probing(this.requests)
  }
}

/** Polling is the transport, and a WebSocket is being probed. */
class Probing {
  name = 'polling'
  native = SessionTransport.Probing
  startedAt = performance.now()
  /**
   * The WebSocket, as the app sees it from the `upgrading` event on.
   * @type {import('./transport').Transport | undefined}
   */
  probed = undefined

  constructor(requests) {
    this.requests = requests
  }

  /** The WebSocket has taken over. */
  upgrade() {
    return new Upgraded(this.requests)
  }

  /** The WebSocket was closed, or too late. */
  fail() {
    return new OnPolling(this.requests)
  }
}

/** A WebSocket is the transport, after an upgrade. */
class Upgraded {
  name = 'websocket'
  native = SessionTransport.WebSocket

  constructor(requests) {
    /** Polling requests that the upgrade has left behind, until they have ended. */
    this.requests = requests
  }
}

/** A WebSocket has been the transport from the beginning. */
class OnWebSocket {
  name = 'websocket'
  native = SessionTransport.WebSocket
  requests = undefined
}

module.exports = { OnPolling, OnWebSocket, Probing, Upgraded }
