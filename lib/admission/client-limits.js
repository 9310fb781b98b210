'use strict'

// Which handshakes may begin, judged before any code of the app runs.

const { TrustedProxies, addressKey } = require('./client-address')
const { HandshakeRate } = require('./handshake-rate')

/** Stands for a client without an address, which the limits per address do not count. */
const NO_ADDRESS = ''

/**
 * Counts sessions and those to be: a handshake holds a place from its first moment, so that handshakes
 * which wait for the app cannot pass a limit together.
 */
class Admission {
  #maxSessions
  #maxPerAddress
  #proxies
  #rate
  #taken = 0
  /** Places by address, where there is a limit per address. */
  #byAddress = new Map()

  constructor({ maxSessions, maxSessionsPerAddress, maxHandshakeRate, trustProxy }) {
    this.#maxSessions = maxSessions
    this.#maxPerAddress = maxSessionsPerAddress
    this.#rate = maxHandshakeRate > 0 ? new HandshakeRate(maxHandshakeRate) : undefined
    this.#proxies = trustProxy.length > 0 ? new TrustedProxies(trustProxy) : undefined
  }

  /** The address of the client behind a connection. */
  clientAddress(peer, { headers }) {
    return this.#proxies === undefined ? peer : this.#proxies.clientAddress(peer, headers)
  }

  /** The limit that one handshake more of this address meets, and counts the handshake. */
  meetsRate(address) {
    const key = this.#rate === undefined ? undefined : addressKey(address)
    return key === undefined ? undefined : this.#rate.meets(key)
  }

  /** The limit that one session more of this address meets. */
  meetsSessions(address) {
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

  /** Takes a place; the result is what `release` wants. */
  take(address) {
    const key = this.#keyOf(address)
    this.#taken++
    if (key !== NO_ADDRESS) this.#byAddress.set(key, (this.#byAddress.get(key) ?? 0) + 1)
    return key
  }

  /** Gives a place back. */
  release(key) {
    this.#taken--
    if (key === NO_ADDRESS) return
    const left = this.#byAddress.get(key) - 1
    if (left > 0) this.#byAddress.set(key, left)
    else this.#byAddress.delete(key)
  }
}

module.exports = { Admission }
