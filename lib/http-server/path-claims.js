'use strict'

const { http: log } = require('../debug')
const { coded } = require('../errors')

/**
 * A path of a server, and the handlers of its requests. An engine claims its path; before that, `upwire/next`
 * may hold the path with a claim that gives way.
 * @typedef {object} PathClaim
 * @property {string} prefix the beginning of the URLs that it covers
 * @property {(url: string) => boolean} [owns] excludes URLs that have the prefix
 * @property {() => boolean} isReplaceable whether another claim may take the path
 * @property {(claim: PathClaim) => void} [giveWay] makes this a claim that only holds the path: it is called
 *   when an engine claims a path of the server
 * @property {boolean} destroyUpgrade whether upgrades that no listener owns get 404
 * @property {number} destroyUpgradeTimeout after how many milliseconds
 * @property {(req: object, socket: object, head: Buffer) => void} upgrade
 * @property {(req: object, res: object) => void} [request]
 * @property {(req: object, res: object) => boolean} serveStatic answers requests for the client bundle
 * @property {() => void} listening the server listens
 * @property {() => void} close the server is about to close
 */

/** Paths of Next.js itself, also below a `basePath`. */
const OF_NEXT = /^[^?]*\/_next\//

/** The claimed paths of one server. */
class PathClaims {
  /** The longest prefix first, which wins. @type {PathClaim[]} */
  #claims = []

  /**
   * @param {PathClaim} claim
   * @returns {PathClaim} the claim
   * @throws {Error} `ERR_UPWIRE_PATH_IN_USE` when another engine has the path
   */
  add(claim) {
    const present = this.#claims.find(({ prefix }) => prefix === claim.prefix)
    const others = [...this.#claims]
    if (present !== undefined) {
      if (!present.isReplaceable()) {
        throw coded(
          Error,
          'ERR_UPWIRE_PATH_IN_USE',
          `upwire: another engine of this server already has the path ${claim.prefix}`,
        )
      }
      this.release(present)
    }
    this.#claims.push(claim)
    this.#claims.sort((left, right) => right.prefix.length - left.prefix.length)
    log('%s %s', claim.giveWay === undefined ? 'claimed' : 'holding', claim.prefix)
    if (claim.giveWay === undefined) for (const each of others) each.giveWay?.(claim)
    return claim
  }

  /** Releases a path: its requests go to the server's other listeners. */
  release(claim) {
    const index = this.#claims.indexOf(claim)
    if (index < 0) return
    this.#claims.splice(index, 1)
    log('released %s', claim.prefix)
  }

  /** The claim that covers a URL. Next.js's own paths are never covered. */
  find(url) {
    if (typeof url !== 'string') return undefined
    const claim = this.#claims.find(
      ({ prefix, owns }) => url.startsWith(prefix) && (owns?.(url) ?? true),
    )
    return claim !== undefined && OF_NEXT.test(url) ? undefined : claim
  }

  /** Milliseconds until an upgrade that no listener owns gets 404; `undefined` when it never does. */
  get unownedTimeout() {
    return this.#claims.find(({ destroyUpgrade }) => destroyUpgrade)?.destroyUpgradeTimeout
  }

  onListening() {
    for (const { listening } of this.#claims) listening()
  }

  onClose() {
    if (log.enabled && this.#claims.length > 0) {
      log('the server of %s closes', this.#claims.map(({ prefix }) => prefix).join(', '))
    }
    for (const { close } of this.#claims) close()
  }
}

module.exports = { PathClaims }
