'use strict'

const { TrustedProxies, addressKey } = require('./client-address')
const { HandshakeRate } = require('./handshake-rate')

/** The key of clients without an address, which no limit per address counts. */
const NO_ADDRESS = ''

/**
 * Limits how many sessions there are, and how fast clients begin handshakes; it is checked before any app
 * code runs. A handshake takes a place as soon as it waits for the app, so that waiting handshakes cannot
 * exceed a limit.
 */
class ClientLimits {
  #maxSessions
  #maxPerAddress
  #proxies
  #rate
  /** How many places are taken. */
  #taken = 0
  /** How many each address has taken, if there is a limit per address. */
  #byAddress = new Map()

  constructor({ maxSessions, maxSessionsPerAddress, maxHandshakeRate, trustProxy }) {
    this.#maxSessions = maxSessions
    this.#maxPerAddress = maxSessionsPerAddress
    this.#rate = maxHandshakeRate > 0 ? new HandshakeRate(maxHandshakeRate) : undefined
    this.#proxies = trustProxy.length > 0 ? new TrustedProxies(trustProxy) : undefined
  }

  /** The address of the client, which may be behind proxies that `trustProxy` lists. */
  clientAddress(peer, { headers }) {
    return this.#proxies === undefined ? peer : this.#proxies.clientAddress(peer, headers)
  }

  /** Counts a handshake of an address. Returns the limit when the handshake exceeds it. */
  countHandshake(address) {
    const key = this.#rate === undefined ? undefined : addressKey(address)
    return key === undefined ? undefined : this.#rate.count(key)
  }

  /** Returns the limit that one more session of an address would exceed. */
  checkSessions(address) {
    const limit = this.#maxSessions
    if (limit > 0 && this.#taken >= limit) {
      return { name: 'maxSessions', limit, value: this.#taken }
    }
    const value = this.#byAddress.get(this.#keyOf(address)) ?? 0
    if (this.#maxPerAddress === 0 || value < this.#maxPerAddress) return undefined
    return { name: 'maxSessionsPerAddress', limit: this.#maxPerAddress, value }
  }

  #keyOf(address) {
    return (this.#maxPerAddress > 0 && addressKey(address)) || NO_ADDRESS
  }

  /** Takes a place. Returns the key that `releasePlace` needs. */
  takePlace(address) {
    const key = this.#keyOf(address)
    this.#taken++
    if (key !== NO_ADDRESS) this.#byAddress.set(key, (this.#byAddress.get(key) ?? 0) + 1)
    return key
  }

  releasePlace(key) {
    this.#taken--
    if (key === NO_ADDRESS) return
    const left = this.#byAddress.get(key) - 1
    if (left > 0) this.#byAddress.set(key, left)
    else this.#byAddress.delete(key)
  }
}

module.exports = { ClientLimits }
