'use strict'

// IP addresses as text: which of them count as one client, and which belong to trusted proxies.

const { BlockList, isIP, isIPv4 } = require('node:net')

const GROUPS = 8

/** The eight groups of an IPv6 address. */
function groupsOf(address) {
  const dotted = address.lastIndexOf(':') + 1
  const tail = address.slice(dotted)
  const text = isIPv4(tail) ? address.slice(0, dotted) + hexOf(tail) : address
  const [left, right] = text.split('::').map((side) => (side === '' ? [] : side.split(':')))
  const zeros = right === undefined ? [] : Array(GROUPS - left.length - right.length).fill('0')
  return [...left, ...zeros, ...(right ?? [])].map((group) => Number.parseInt(group, 16))
}

function hexOf(dotted) {
  const [a, b, c, d] = dotted.split('.').map(Number)
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

/** The IPv4 address in an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`); `undefined` for others. */
function mappedAddress(groups) {
  if (groups[5] !== 0xffff || groups.slice(0, 5).some((group) => group !== 0)) return undefined
  return [groups[6] >> 8, groups[6] & 255, groups[7] >> 8, groups[7] & 255].join('.')
}

/**
 * Reads an address. Two spellings of an address give equal results; a zone (`%eth0`) is ignored.
 * @returns {{ address: string, family: 'ipv4' | 'ipv6', groups?: number[] } | undefined}
 */
function parseAddress(text) {
  const address = text?.split('%', 1)[0] ?? ''
  if (isIPv4(address)) return { address, family: 'ipv4' }
  if (isIP(address) === 0) return undefined
  const groups = groupsOf(address)
  const inner = mappedAddress(groups)
  return inner === undefined
    ? { address, family: 'ipv6', groups }
    : { address: inner, family: 'ipv4' }
}

/**
 * The key that limits per address count by: an IPv4 address, or the first 64 bits of an IPv6 address,
 * because one client usually has the whole network of that prefix. `undefined` when there is no address.
 */
function addressKey(text) {
  const parsed = parseAddress(text)
  if (parsed?.groups === undefined) return parsed?.address
  const network = parsed.groups.slice(0, 4).map((group) => group.toString(16))
  return `${network.join(':')}::/64`
}

/** Reads an entry of a list of addresses: an address, or a block such as `10.0.0.0/8`. */
function parseBlock(entry) {
  if (typeof entry !== 'string') return undefined
  const [text, prefix, ...more] = entry.split('/')
  const parsed = text.includes('%') ? undefined : parseAddress(text)
  if (parsed === undefined || more.length > 0) return undefined
  // The prefix length of an IPv4-mapped address includes the 96 bits before the IPv4 address.
  const offset = parsed.family === 'ipv4' && text.includes(':') ? 96 : 0
  const bits = parsed.family === 'ipv4' ? 32 : 128
  if (prefix === undefined) return { ...parsed, bits }
  const given = /^\d{1,3}$/.test(prefix) ? Number(prefix) - offset : Number.NaN
  return given >= 0 && given <= bits ? { ...parsed, bits: given } : undefined
}

/** The addresses of trusted proxies. */
class TrustedProxies {
  /** One list for each family: in a common list `::/64` would match all IPv4 addresses, as mapped ones. */
  #lists = { ipv4: new BlockList(), ipv6: new BlockList() }

  /** @param {readonly string[]} entries entries that `parseBlock` accepts */
  constructor(entries) {
    for (const { address, bits, family } of entries.map(parseBlock)) {
      this.#lists[family].addSubnet(address, bits, family)
    }
  }

  #trusts({ address, family }) {
    return this.#lists[family].check(address, family)
  }

  /** Whether the TCP peer with this address is a trusted proxy. */
  trusts(peer) {
    const parsed = parseAddress(peer)
    return parsed !== undefined && this.#trusts(parsed)
  }

  /**
   * The client's address: that of the TCP peer, unless the peer is a trusted proxy. Then it is the last
   * address in the forwarding header that is not a trusted proxy's: only trusted proxies have written the
   * entries behind it, while the client may have written the entries before it.
   */
  clientAddress(peer, headers) {
    const parsed = parseAddress(peer)
    if (parsed === undefined || !this.#trusts(parsed)) return peer
    let nearest = peer
    for (const hop of forwardedFor(headers).reverse()) {
      const client = parseAddress(hop)
      if (client === undefined) return nearest
      nearest = client.address
      if (!this.#trusts(client)) return nearest
    }
    return nearest
  }
}

/** The addresses in the forwarding headers of a request; the client's comes first. */
function forwardedFor(headers) {
  const list = headers['x-forwarded-for']
  if (list !== undefined) return list.split(',').map((hop) => withoutPort(hop.trim()))
  const { forwarded } = headers
  return forwarded === undefined ? [] : forwarded.split(',').map(forParameter)
}

/** The `for` parameter of one element of the Forwarded header (RFC 7239); '' if it has none. */
function forParameter(element) {
  const match = /(?:^|;)\s*for=(?:"([^"]*)"|([^;"\s]*))\s*(?:;|$)/i.exec(element.trim())
  return withoutPort(match?.[1] ?? match?.[2] ?? '')
}

/** Some proxies add the client's port to its address. */
function withoutPort(hop) {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(hop)
  if (bracketed !== null) return bracketed[1]
  return /^[\d.]+:\d{1,5}$/.test(hop) ? hop.slice(0, hop.indexOf(':')) : hop
}

module.exports = { TrustedProxies, addressKey, parseBlock }
